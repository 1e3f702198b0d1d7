"""Readings, the roll-up they are read from, alerts' states and the outbox of messages."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Nothing yet."""
