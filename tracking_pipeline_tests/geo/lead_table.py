"""The leads as a test sees them: rows go in, and what became of them comes out."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb


class LeadTable:
    """Puts leads, and the events of leads, into one database."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def add(self, **columns: Any) -> UUID:
        """Adds a lead; ``columns`` are its own values."""
        lead = uuid4()
        self._insert("leads", {"id": lead, "email": f"{lead}@example.com", **columns})
        return lead

    def add_many(self, count: int, **columns: Any) -> list[UUID]:
        """Adds so many leads with the same values."""
        return [self.add(**columns) for _ in range(count)]

    def add_ledger_event(self, lead: UUID, user_data: Any, created_at: str = "now") -> None:
        """Adds an event of the lead to the ledger."""
        self._insert(
            "wm_event_log",
            {
                "event_id": uuid4(),
                "lead_id": lead,
                "event_name": "page_view",
                "user_data": user_data,
                "created_at": created_at,
            },
        )

    def add_failed_event(self, lead: UUID, user_data: Any) -> None:
        """Adds a failed event of the lead."""
        self._insert(
            "tracking_failed_events",
            {
                "event_id": uuid4(),
                "lead_id": lead,
                "event_name": "Lead",
                "event_payload": {},
                "user_data": user_data,
                "destination": "meta_capi",
                "error_message": "it failed",
            },
        )

    def row(self, lead: UUID) -> dict[str, Any]:
        """All columns of a lead; ``geo_wait`` is the time to its next look-up, in seconds."""
        (row,) = self.read(
            "select *, extract(epoch from geo_next_at - now())::float8 as geo_wait"
            " from leads where id = %s",
            lead,
        )
        return row

    def place(self, lead: UUID) -> tuple[str | None, ...]:
        """City, state, zip and country of a lead."""
        row = self.row(lead)
        return row["city"], row["state"], row["zip"], row["country"]

    def sources(self, lead: UUID) -> dict[str, str]:
        """The source of each field of a lead that has one."""
        return {
            name: noted["source"] for name, noted in (self.row(lead)["geo_fields"] or {}).items()
        }

    def statuses(self) -> dict[str | None, int]:
        """How many leads have each status."""
        rows = self.read("select geo_status, count(*) from leads group by geo_status")
        return {row["geo_status"]: row["count"] for row in rows}

    def make_due(self) -> None:
        """Lets the time come that leads and addresses wait for."""
        self.connection.execute(
            "update leads set geo_next_at = now() where geo_next_at is not null"
        )
        self.connection.execute(
            "update tracking_ip_locations set next_ask_at = now() where next_ask_at is not null"
        )
        self.connection.execute("update tracking_geo_providers set not_before = now()")

    def read(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), arguments or None).fetchall()

    def one(self, query: str, *arguments: Any) -> Any:
        """The single value of a query."""
        (row,) = self.read(query, *arguments)
        (value,) = row.values()
        return value

    def _insert(self, table: str, values: dict[str, Any]) -> None:
        statement = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        arguments = [
            Jsonb(value) if isinstance(value, (dict, list)) else value for value in values.values()
        ]
        self.connection.execute(statement, arguments)
