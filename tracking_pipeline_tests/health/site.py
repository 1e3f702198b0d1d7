"""A site as a health check sees it: events reach its ledger, some fail, leads have addresses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline.settings import Settings
from tracking_pipeline.wiring.health import health_config

HASH = sha256_hex("emily@example.com")
# Meta takes an event with these, and the default model scores it 4.5.
ENOUGH = {"em": HASH}
EVERYTHING = {
    **dict.fromkeys(("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country"), HASH),
    "external_id": HASH,
    "fbp": "fb.1.1700000000000.1234567890",
    "fbc": "fb.1.1700000000000.IwAR0123456789",
    "client_ip_address": "8.8.8.8",
    "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
}


def policy(**settings: Any) -> HealthConfig:
    """The policy of the default settings but for these."""
    return health_config(Settings(**settings))


class Site:
    """One database; ``connection`` is in autocommit mode."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def now(self) -> datetime:
        moment: datetime = self.one("select now()")
        return moment

    def ago(self, **span: float) -> datetime:
        return self.now() - timedelta(**span)

    def add_events(
        self,
        count: int = 1,
        *,
        at: datetime | None = None,
        keys: dict[str, Any] | None = None,
        on: psycopg.Connection[Any] | None = None,
        **columns: Any,
    ) -> list[UUID]:
        """Adds conversions to the ledger; ``at`` None: created now. Returns their event ids."""
        ids = [uuid4() for _ in range(count)]
        values = {
            "event_name": "Lead",
            "user_data": Jsonb(ENOUGH if keys is None else keys),
            **({"created_at": at} if at else {}),
            **columns,
        }
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        statement = f"insert into wm_event_log (event_id, {names}) values (%s, {places})"
        with (on or self.connection).cursor() as cursor:
            cursor.executemany(statement.encode(), [(one, *values.values()) for one in ids])
        return ids

    def add_failed(self, count: int = 1, **columns: Any) -> list[UUID]:
        """Adds failed events; returns their event ids."""
        ids = [uuid4() for _ in range(count)]
        for event_id in ids:
            self._insert(
                "tracking_failed_events",
                {
                    "event_id": event_id,
                    "event_name": "Lead",
                    "event_payload": Jsonb({}),
                    "destination": "meta_capi",
                    "error_message": "it failed",
                    **columns,
                },
            )
        return ids

    def add_lead(self, **columns: Any) -> UUID:
        """Adds a lead; returns its id."""
        lead_id = uuid4()
        self._insert("leads", {"id": lead_id, "email": "emily@example.com", **columns})
        return lead_id

    def empty_queue(self) -> None:
        """Everything that waits is delivered."""
        self.connection.execute(
            "update tracking_failed_events set status = 'resolved', resolved_at = now(),"
            " resolved_by = 'tracking_pipeline' where status in ('pending', 'retrying')"
        )

    def alerts(self, *, open_only: bool = False) -> list[dict[str, Any]]:
        """The alerts, oldest first."""
        condition = "where resolved_at is null" if open_only else ""
        return self.read(f"select * from tracking_health_alerts {condition} order by created_at")

    def open_types(self) -> set[str]:
        return {alert["alert_type"] for alert in self.alerts(open_only=True)}

    def messages(self) -> list[tuple[str, str]]:
        """What was owed to the receivers, oldest first: (alert type, kind)."""
        rows = self.read("select alert_type, kind from tracking_alert_notifications order by id")
        return [(row["alert_type"], row["kind"]) for row in rows]

    def let_pass(self, **span: float) -> None:
        """Makes all checks so far as much older."""
        self.connection.execute(
            "update tracking_health_snapshots set taken_at = taken_at - %s", (timedelta(**span),)
        )

    def rolled_up(self) -> int:
        """How many events the roll-up holds."""
        return int(self.one("select coalesce(sum(events), 0) from tracking_match_key_hourly"))

    def read(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), arguments or None).fetchall()

    def one(self, query: str, *arguments: Any) -> Any:
        (row,) = self.read(query, *arguments)
        (value,) = row.values()
        return value

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        self.connection.execute(
            f"insert into {table} ({names}) values ({places})".encode(), list(values.values())
        )
