"""Which share of the new leads has a place, and how much of that is enrichment's doing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from tracking_pipeline.store.geo_coverage import count_by_source, count_coverage

WINDOW_DAYS = 7


@dataclass(frozen=True, slots=True)
class GeoCoverage:
    """The leads of the last days. A share is in percent, None where there are no leads.

    ``before_*`` is what people said themselves, ``with_*`` what is there now. ``complete_percent``
    of the leads have a whole place: city, state and zip. ``by_source`` counts
    leads by where their place comes from: ``user``, ``session`` or a provider. ``waiting`` leads
    were not looked up to an end yet, ``waiting_for_hours`` of them for more than an hour.
    """

    leads: int
    complete_percent: float | None
    with_city_percent: float | None
    with_state_percent: float | None
    with_zip_percent: float | None
    before_city_percent: float | None
    before_state_percent: float | None
    before_zip_percent: float | None
    by_source: Mapping[str, int]
    waiting: int
    waiting_for_hours: int


def read_geo_coverage(
    connection: psycopg.Connection[Any], window_days: int = WINDOW_DAYS
) -> GeoCoverage:
    """Reads the coverage of the leads that came in the last ``window_days`` days."""
    counts = count_coverage(connection, window_days)

    def percent(part: int) -> float | None:
        return 100.0 * part / counts.leads if counts.leads else None

    return GeoCoverage(
        leads=counts.leads,
        complete_percent=percent(counts.with_whole_place),
        with_city_percent=percent(counts.with_city),
        with_state_percent=percent(counts.with_state),
        with_zip_percent=percent(counts.with_zip),
        before_city_percent=percent(counts.said_city),
        before_state_percent=percent(counts.said_state),
        before_zip_percent=percent(counts.said_zip),
        by_source=count_by_source(connection, window_days),
        waiting=counts.open,
        waiting_for_hours=counts.open_for_hours,
    )
