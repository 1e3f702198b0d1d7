"""What Dagster shows of runs and results: the tags of runs, for the filters of the Runs page and
the queue's limits; numbers and tables as typed metadata. A key of metadata keeps its name and type
for ever: the UI plots it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

GROUP_TAG = "tracking/job"
DESTINATION_TAG = "tracking/destination"

# Runs that may take minutes. dagster.yaml lets so few of them run at once that a slot stays free
# for a health check and for what tells its alerts.
LONG_RUN = {"tracking/slot": "long"}
# Taken from the queue before the others.
FIRST_IN_QUEUE = {"dagster/priority": "1"}

# A run whose process died is executed again by the daemon, from its start: a check shows one
# moment, and a drain counts anew what there is to take.
AGAIN_FROM_THE_START = {"dagster/retry_strategy": "ALL_STEPS"}


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
