"""Who is an admin of the site, read by a role that is not the table's owner."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from tracking_pipeline.store.admins import RolesUnreadableError, is_admin
from tracking_pipeline_tests.servers import TestServer, find_server_binaries
from tracking_pipeline_tests.store.site import Site, login_role, new_site, site_server

WORKER = "roles_worker"
ADMIN, MODERATOR = uuid4(), uuid4()
HAS_ROLE = (
    "create function has_role(_user_id uuid, _role app_role) returns boolean language sql stable"
    " security definer set search_path = public as"
    " 'select exists (select from user_roles where user_id = _user_id and role = _role)'"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    binaries = find_server_binaries()
    folder: Path = tmp_path_factory.mktemp("roles")
    with site_server(binaries[max(binaries)], folder) as running:
        yield running


@pytest.fixture
def site(server: TestServer) -> Iterator[Site]:
    """A site with its own table of roles, as Supabase's guide has it, and a role for a worker."""
    with new_site(server) as opened:
        opened.run(
            "create type app_role as enum ('admin', 'moderator', 'user');"
            "create table user_roles (user_id uuid not null, role app_role not null);"
            f"insert into user_roles values ('{ADMIN}', 'admin'), ('{ADMIN}', 'user'),"
            f" ('{MODERATOR}', 'moderator')"
        )
        with login_role(opened, WORKER):
            yield opened


def ask(site: Site, user_id: UUID) -> bool:
    async def look() -> bool:
        url = site.url_for(WORKER)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            return await is_admin(connection, user_id)

    return asyncio.run(look())


def answers(site: Site) -> tuple[bool, bool, bool]:
    return ask(site, ADMIN), ask(site, MODERATOR), ask(site, uuid4())


def test_a_table_that_may_be_read_is_read(site: Site) -> None:
    site.run(f"grant select on user_roles to {WORKER}")
    assert answers(site) == (True, False, False)


def test_under_row_security_the_sites_own_function_is_asked(site: Site) -> None:
    site.run(f"grant select on user_roles to {WORKER}")
    site.run(f"alter table user_roles enable row level security; {HAS_ROLE}")
    assert answers(site) == (True, False, False)


def test_the_function_is_enough_without_a_right_on_the_table(site: Site) -> None:
    site.run(HAS_ROLE)
    assert answers(site) == (True, False, False)


def test_a_policy_lets_the_rows_through_where_there_is_no_function(site: Site) -> None:
    site.run(
        f"grant select on user_roles to {WORKER};"
        "alter table user_roles enable row level security;"
        f"create policy ours on user_roles for select to {WORKER} using (true)"
    )
    assert answers(site) == (True, False, False)


def test_hidden_rows_make_nobody_an_admin(site: Site) -> None:
    site.run(
        f"grant select on user_roles to {WORKER};alter table user_roles enable row level security"
    )
    assert answers(site) == (False, False, False)


def test_where_nothing_can_be_asked_the_remedy_is_named(site: Site) -> None:
    with pytest.raises(RolesUnreadableError, match="grant select on it"):
        ask(site, ADMIN)
    site.run("drop table user_roles")
    with pytest.raises(RolesUnreadableError, match="grant select on it"):
        ask(site, ADMIN)
