"""Every statement on ``tracking_setting_changes``: which setting was another one from when on.

A check notes the settings that it runs with, by their names and a digest of 8 bits. Where two
processes run with different ones, it tells of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting that had another value from ``changed_at`` on, or a little earlier: that is when a
    check saw it."""

    name: str
    changed_at: datetime


_NOTE: LiteralString = """
insert into public.tracking_setting_changes (name, digest, is_first)
select s.name, s.digest, latest.digest is null
from unnest(%(names)s::text[], %(digests)s::text[]) as s (name, digest)
left join lateral (
    select c.digest from public.tracking_setting_changes c
    where c.name = s.name
    order by c.changed_at desc, c.id desc
    limit 1) as latest on true
where latest.digest is distinct from s.digest
"""


def note_settings(connection: psycopg.Connection[Any], digests: Mapping[str, str]) -> None:
    """Notes what of the settings, by name, is not as it was."""
    arguments = {"names": list(digests), "digests": list(digests.values())}
    connection.execute(_NOTE, arguments)


_READ: LiteralString = """
select name, max(changed_at)
from public.tracking_setting_changes
where not is_first and changed_at >= %s and changed_at < %s
group by name
order by 2 desc, 1
"""


def read_setting_changes(
    connection: psycopg.Connection[Any], since: datetime, until: datetime
) -> list[SettingChange]:
    """The settings that were changed within [since, until), the last one first."""
    return [SettingChange(*row) for row in connection.execute(_READ, (since, until)).fetchall()]
