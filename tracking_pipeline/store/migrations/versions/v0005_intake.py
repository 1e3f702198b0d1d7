"""Accepted events on their way to their first attempt, and who did what by hand."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Nothing yet."""
