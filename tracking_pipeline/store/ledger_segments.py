"""Where the ledger's conversions come from: counted by the columns that tell, to find out what an
alert is about. Read only while there is something to explain; a bounded number of rows each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import psycopg
from typing_extensions import LiteralString

from tracking_pipeline.store.match_key_rollup import CONVERSION, ConversionRule, LedgerEvent

SEGMENTS: tuple[str, ...] = (
    "page path",
    "source tool",
    "source system",
    "traffic source",
    "release",
    "form",
)
"""What a row is counted by, in the order of the columns below."""

# A query string or a fragment may name a person, and splits what is one page.
_COLUMNS: LiteralString = """
    nullif(split_part(split_part(e.page_path, '?', 1), '#', 1), ''), nullif(e.source_tool, ''),
    nullif(e.source_system, ''), nullif(e.traffic_source, ''),
    coalesce(e.metadata ->> 'release', e.metadata ->> 'app_version', e.metadata ->> 'version'),
    coalesce(e.metadata ->> 'form_id', e.metadata ->> 'form')
"""
_FROM: LiteralString = """
from public.wm_event_log e
where e.created_at >= %(since)s and e.created_at < %(until)s and {conversion}
  and (%(name)s::text is null or coalesce(e.event_name, '') = %(name)s)
order by e.created_at desc
limit %(most)s
""".replace("{conversion}", CONVERSION)
_SEGMENTS: LiteralString = "select " + _COLUMNS + _FROM
_EVENTS: LiteralString = (
    # In the order of `_OWN`.
    "select e.user_data::text, e.fbp, e.fbc, e.external_id, e.email_sha256, e.phone_sha256,"
    + _COLUMNS
    + _FROM
)
_OWN = ("user_data", "fbp", "fbc", "external_id", "email_sha256", "phone_sha256")
_NO_LEAD: dict[str, Any] = dict.fromkeys(
    {field.name for field in fields(LedgerEvent)} - {"event_name", *_OWN}
)
MOST_ROWS = 50_000
MOST_EVENTS = 2_000


@dataclass(frozen=True, slots=True)
class Window:
    """Conversions of one ``name`` (None: of any) created within [since, until)."""

    name: str | None
    since: datetime
    until: datetime
    rule: ConversionRule

    def arguments(self, most: int) -> dict[str, Any]:
        return {
            "name": self.name,
            "since": self.since,
            "until": self.until,
            "names": list(self.rule.names),
            "by_type": self.rule.by_type,
            "most": most,
        }


def read_segments(
    connection: psycopg.Connection[Any], window: Window
) -> list[tuple[str | None, ...]]:
    """The :data:`SEGMENTS` of each of the newest :data:`MOST_ROWS` events of the window."""
    return connection.execute(_SEGMENTS, window.arguments(MOST_ROWS)).fetchall()


def read_events_with_segments(
    connection: psycopg.Connection[Any], window: Window
) -> Iterator[tuple[LedgerEvent, tuple[str | None, ...]]]:
    """The newest :data:`MOST_EVENTS` events of the window, without their leads' places, and the
    :data:`SEGMENTS` of each."""
    for row in connection.execute(_EVENTS, window.arguments(MOST_EVENTS)).fetchall():
        own = dict(zip(_OWN, row, strict=False))
        yield LedgerEvent(event_name=window.name or "", **own, **_NO_LEAD), row[len(_OWN) :]
