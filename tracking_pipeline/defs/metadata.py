"""Numbers and tables as Dagster's typed metadata. A key keeps its name and type for ever: the UI
plots it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg


def floats(values: Mapping[str, float | None], *, decimals: int = 3) -> dict[str, Any]:
    """Each value as a float of so many decimals. What has no value is left out: a gap in its
    plot."""
    return {
        name: dg.MetadataValue.float(round(float(value), decimals))
        for name, value in values.items()
        if value is not None
    }


def table(name: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A table under its name; nothing where it would be empty."""
    if not records:
        return {}
    return {name: dg.MetadataValue.table([dg.TableRecord(record) for record in records])}
