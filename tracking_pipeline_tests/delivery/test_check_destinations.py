"""Whether events would get in: asked on real sockets, with nothing real sent, and never a token in
a URL or in what is told."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from tracking_pipeline.delivery.check_destinations import DestinationChecks, check_destinations
from tracking_pipeline.delivery.destinations.google.credentials import AccessToken
from tracking_pipeline.delivery.destinations.google.enhanced_conversions import (
    GoogleAccount,
    GoogleEc,
)
from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
from tracking_pipeline.delivery.destinations.meta.capi import MetaCapi
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured
from tracking_pipeline.delivery.engine.destination_check import answer_json
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.destination_checks import RecordedDestinationCheck, read_checks

TOKEN = "EAAcanaryTOKENcanary0123456789"
SECRET = "canarysecret0123456789"
GOOGLE_TOKEN = "ya29.canaryGOOGLE0123456789"
API_SECRET = "canaryAPIsecret0123456789"
SECRETS = (TOKEN, SECRET, GOOGLE_TOKEN, API_SECRET)
NOW = datetime.now(timezone.utc)


class Checks:
    """Checks of all four destinations at the sandbox. ``urls`` are those of all requests."""

    def __init__(self, database_url: str, sandbox: Sandbox) -> None:
        self._database_url = database_url
        self.meta = MetaAccount("1234567890", TOKEN, SECRET, url=sandbox.meta_url)
        self.google = GoogleAccount("123", "456", url=sandbox.google_url)
        self.gtm = GtmContainer(sandbox.gtm_url)
        self.urls: list[str] = []

    def run(self, *only: str) -> DestinationChecks:
        return asyncio.run(check_destinations(self._database_url, self._make, only=only))

    def of(self, name: str) -> RecordedDestinationCheck:
        return self.run(name).by_destination[name]

    def _make(
        self, client: DeliveryClient, pool: AsyncPool
    ) -> Sequence[Destination | NotConfigured]:
        client.event_hooks["request"].append(self._note)
        return [
            MetaCapi(self.meta, client),
            GoogleEc(self.google, AccessToken(GOOGLE_TOKEN), client, pool),
            GtmServer(self.gtm, client),
            Ledger(pool),
        ]

    async def _note(self, request: httpx.Request) -> None:
        self.urls.append(str(request.url))


@pytest.fixture
def checks(database_url: str, sandbox: Sandbox) -> Checks:
    return Checks(database_url, sandbox)


def in_days(days: float) -> int:
    return int((NOW + timedelta(days=days)).timestamp())


def test_all_that_are_well_say_so_and_nothing_real_is_sent(
    checks: Checks, sandbox: Sandbox, connection: psycopg.Connection
) -> None:
    found = checks.run()

    assert {name: each.state for name, each in found.by_destination.items()} == dict.fromkeys(
        ("meta_capi", "google_ec", "gtm_server", "supabase"), "ok"
    )
    assert found.success
    assert sandbox.memory.accepted_ids == set()
    assert not sandbox.memory.violations
    for table in (b"wm_event_log", b"tracking_google_requests", b"tracking_delivery_attempts"):
        assert connection.execute(b"select count(*) from " + table).fetchone() == (0,)


@pytest.mark.parametrize("outage", [None, {"status": 400, "code": 190, "message": f"bad {TOKEN}"}])
def test_no_secret_is_in_a_url_a_log_or_what_is_told(
    checks: Checks,
    sandbox: Sandbox,
    connection: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    outage: RawStep | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.conditions["meta_capi"].outage(outage)
    sandbox.meta_token.warning = f"upgraded {TOKEN}"

    found = checks.run()

    assert len(checks.urls) == 5
    stored = connection.execute("select to_jsonb(c)::text from tracking_destination_checks c")
    told = " ".join((*checks.urls, caplog.text, str(found.as_json()), str(stored.fetchall())))
    assert not any(secret in told for secret in SECRETS)


@pytest.mark.parametrize(
    ("outage", "state", "code"),
    [
        ({"status": 400, "code": 190}, "refused", "190"),
        ({"status": 400, "code": 100, "subcode": 33}, "refused", "100/33"),
        ({"status": 403, "code": 200}, "refused", "200"),
        ({"status": 400, "code": 2500}, "refused", "2500"),
        (503, "unreachable", "2"),
        (429, "unreachable", "4"),
        ("html", "unreachable", "500"),
        ("reset", "unreachable", "connection"),
    ],
)
def test_what_meta_refuses_is_told_from_what_passes(
    checks: Checks, sandbox: Sandbox, outage: RawStep, state: str, code: str
) -> None:
    sandbox.conditions["meta_capi"].outage(outage)
    found = checks.run()
    meta = found.by_destination["meta_capi"]
    assert (meta.state, meta.error_code) == (state, code)
    assert meta.detail
    assert not found.success
    assert found.by_destination["google_ec"].state == "ok"


def test_a_wrong_app_secret_is_refused(checks: Checks, database_url: str) -> None:
    with Sandbox(app_secret="another") as sandbox:
        checks.meta = replace(checks.meta, url=sandbox.meta_url)
        assert checks.of("meta_capi").state == "refused"
    with Sandbox(app_secret=SECRET) as sandbox:
        checks.meta = replace(checks.meta, url=sandbox.meta_url)
        assert checks.of("meta_capi").state == "ok"


def test_with_a_test_event_code_one_marked_event_of_nobody_is_sent(
    checks: Checks, sandbox: Sandbox
) -> None:
    checks.meta = replace(checks.meta, test_event_code="TEST123")
    assert checks.of("meta_capi").state == "ok"
    (request,) = (r for r in sandbox.memory.requests if r.destination == "meta_capi")
    assert request.test_event_code == "TEST123"
    (event,) = sandbox.memory.accepted_events
    assert event["event_name"] == "tracking_pipeline_test"
    assert event["user_data"].keys() == {"external_id"}
    assert not sandbox.memory.violations


@pytest.mark.parametrize(
    ("outage", "state"),
    [(401, "refused"), (403, "refused"), (503, "unreachable"), ("timeout", "unreachable")],
)
def test_what_google_refuses_is_told_from_what_passes(
    checks: Checks,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    outage: RawStep,
    state: str,
) -> None:
    monkeypatch.setattr("tracking_pipeline.http_client.TIMEOUT_SECONDS", 0.2)
    sandbox.conditions["google_ec"].outage(outage)
    assert checks.of("google_ec").state == state


def test_a_conversion_action_that_there_is_not_is_refused(checks: Checks) -> None:
    checks.google = replace(checks.google, conversion_action_id="none")
    found = checks.of("google_ec")
    assert (found.state, found.error_code) == ("refused", "INVALID_CONVERSION_ACTION_ID")


def test_how_long_googles_token_lasts_is_asked_of_whoever_takes_the_events(
    checks: Checks, sandbox: Sandbox
) -> None:
    httpx.post(f"{sandbox.google_url}/_behaviour", json={"token_seconds": 1800})
    (ending,) = checks.of("google_ec").endings
    assert ending.what == "GOOGLE_ACCESS_TOKEN"
    assert ending.days_left == pytest.approx(1800 / 86_400, abs=0.001)
    assert all(url.startswith(sandbox.google_url) for url in checks.urls)


@pytest.mark.parametrize(
    ("container", "state", "words"),
    [
        ("main", "ok", "has no validation"),
        ("validating", "ok", "validates the Measurement Protocol"),
    ],
)
def test_a_container_that_runs_is_asked_for_its_validation_where_it_has_one(
    checks: Checks, sandbox: Sandbox, container: str, state: str, words: str
) -> None:
    url = sandbox.gtm_url.replace("main", container)
    checks.gtm = GtmContainer(url, "measurement_protocol", False, "G-1", API_SECRET)
    found = checks.of("gtm_server")
    assert found.state == state
    assert words in found.detail
    assert sandbox.memory.accepted_ids == set()


@pytest.mark.parametrize(
    ("outage", "state"),
    [(503, "unreachable"), (403, "refused"), (301, "refused"), ("reset", "unreachable")],
)
def test_a_container_that_does_not_run_is_told(
    checks: Checks, sandbox: Sandbox, outage: RawStep, state: str
) -> None:
    sandbox.conditions["gtm_server"].outage(outage)
    assert checks.of("gtm_server").state == state


def test_an_address_without_a_container_is_refused(checks: Checks, sandbox: Sandbox) -> None:
    checks.gtm = GtmContainer(f"{sandbox.url}/nowhere")
    found = checks.of("gtm_server")
    assert found.state == "refused"
    assert "check GTM_SERVER_URL" in found.detail


def test_without_a_network_everything_but_the_ledger_is_unreachable(checks: Checks) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        checks.meta = replace(checks.meta, url=nobody, api_version="v25.0")
        checks.google = replace(checks.google, url=nobody)
        checks.gtm = GtmContainer(nobody)
        found = checks.run()
    states = {name: each.state for name, each in found.by_destination.items()}
    assert states == {
        "meta_capi": "unreachable",
        "google_ec": "unreachable",
        "gtm_server": "unreachable",
        "supabase": "ok",
    }
    # That is known without anybody's answer.
    (version,) = found.by_destination["meta_capi"].endings
    assert version.what == "META_API_VERSION v25.0"


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        (b"alter table wm_event_log rename to elsewhere", "refused"),
        (b"alter table wm_event_log add constraint no check (event_name <> 'Lead')", "refused"),
    ],
)
def test_a_ledger_that_takes_no_rows_is_told(
    checks: Checks, connection: psycopg.Connection, statement: bytes, state: str
) -> None:
    connection.execute(statement)
    found = checks.of("supabase")
    assert found.state == state
    assert found.failure_code


def test_what_meta_says_of_token_and_version_is_kept(
    checks: Checks, sandbox: Sandbox, connection: psycopg.Connection
) -> None:
    sandbox.meta_token.expires_at = in_days(13.5)
    sandbox.meta_token.data_access_expires_at = in_days(80)
    sandbox.meta_token.served_version = "v22.0"
    sandbox.meta_token.warning = "The call has been auto-upgraded to v22.0"
    checks.meta = replace(checks.meta, api_version="v20.0")

    found = checks.of("meta_capi")

    assert [each.what for each in found.endings] == [
        "META_API_VERSION v20.0",
        "META_ACCESS_TOKEN",
        "the access to data of META_ACCESS_TOKEN",
    ]
    assert "Meta answered by v22.0: v20.0 is served no more" in found.detail
    assert "auto-upgraded" in found.detail
    assert "ads_management" in found.detail
    kept = read_checks(connection)["meta_capi"]
    assert [(each.what, each.at) for each in kept.endings] == [
        (each.what, each.at) for each in found.endings
    ]
    expires = {each["what"]: each["level"] for each in answer_json(found)["expires"]}
    assert list(expires.values()) == ["critical", "warning", "ok"]


def test_a_token_that_meta_calls_invalid_is_refused(checks: Checks, sandbox: Sandbox) -> None:
    sandbox.meta_token.is_valid = False
    found = checks.of("meta_capi")
    assert (found.state, found.error_code) == ("refused", "190")


def test_a_token_that_may_not_ask_about_itself_is_as_good(checks: Checks, sandbox: Sandbox) -> None:
    sandbox.meta_token.tells = False
    found = checks.of("meta_capi")
    assert (found.state, found.endings) == ("ok", ())


@pytest.mark.parametrize(
    ("then", "still_known"),
    [
        ("ends", True),  # refused, because it has ended: above all then
        ("unreachable", True),
        ("renewed", False),
    ],
)
def test_what_was_known_of_a_token_holds_until_more_is_known(
    checks: Checks, sandbox: Sandbox, then: str, still_known: bool
) -> None:
    sandbox.meta_token.expires_at = in_days(1)
    assert len(checks.of("meta_capi").endings) == 1
    sandbox.meta_token.expires_at = 0
    if then != "renewed":
        outage: RawStep = 503 if then == "unreachable" else {"status": 400, "code": 190}
        sandbox.conditions["meta_capi"].outage(outage)
    assert bool(checks.of("meta_capi").endings) is still_known


def test_a_destination_that_is_not_configured_is_no_failure_unless_it_was_named(
    database_url: str, connection: psycopg.Connection
) -> None:
    def make(client: DeliveryClient, pool: AsyncPool) -> Sequence[Destination | NotConfigured]:
        return [NotConfigured("google_ec", "set GOOGLE_ADS_ACCOUNT_ID"), Ledger(pool)]

    def check(*only: str) -> DestinationChecks:
        return asyncio.run(check_destinations(database_url, make, only=only))

    everything = check()
    assert everything.success
    assert everything.by_destination["google_ec"].state == "not_configured"
    assert everything.by_destination["google_ec"].detail == "set GOOGLE_ADS_ACCOUNT_ID"
    assert not check("google_ec").success
    assert check("supabase").success


def test_a_bug_in_one_check_costs_the_others_nothing(
    database_url: str, connection: psycopg.Connection
) -> None:
    class Broken(Ledger):
        name = "gtm_server"

        async def check(self, now: datetime) -> Any:
            raise KeyError(TOKEN)

    checks = asyncio.run(
        check_destinations(database_url, lambda client, pool: [Broken(pool), Ledger(pool)])
    )
    states = {name: each.state for name, each in checks.by_destination.items()}
    assert states == {"gtm_server": "unreachable", "supabase": "ok"}
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("select * from tracking_destination_checks order by 1").fetchone()
    assert row is not None
    assert row["detail"] == "the check failed: KeyError"
