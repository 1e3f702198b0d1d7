"""Where a lead is, how that is known, and what each address was found to be."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing yet."""
