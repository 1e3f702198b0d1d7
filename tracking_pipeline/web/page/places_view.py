"""Where leads are, as far as the last check has counted it, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracking_pipeline.geo.coverage import WINDOW_DAYS
from tracking_pipeline.store.health_snapshots import Snapshot
from tracking_pipeline.web.page import words


@dataclass(frozen=True, slots=True)
class SourceView:
    """Leads with a place from one source."""

    name: str
    leads: str
    percent: float


@dataclass(frozen=True, slots=True)
class PartView:
    """How many leads have one part of a place: now, and ``before`` anybody looked it up."""

    name: str
    share: str
    percent: float
    before: str


@dataclass(frozen=True, slots=True)
class PlacesView:
    """How many of the last days' leads have a place."""

    parts: Sequence[PartView]
    sources: Sequence[SourceView]
    summary: str


def places_view(coverage: Snapshot | None) -> PlacesView | None:
    """The places of the last check's ``geo_coverage``; None where it counted no lead."""
    found = coverage.detail if coverage is not None else None
    if not found or not found.get("leads"):
        return None
    leads = found["leads"]
    by_source: dict[str, int] = found["by_source"]
    summary = f"Leads of the last {WINDOW_DAYS} days: {words.count(leads)}"
    waiting = found["waiting"]
    return PlacesView(
        parts=[
            PartView(
                name=name,
                share=words.percent(found[f"with_{key}_percent"]),
                percent=found[f"with_{key}_percent"],
                before=words.percent(found[f"before_{key}_percent"]),
            )
            for name, key in (("City", "city"), ("State", "state"), ("Zip code", "zip"))
        ],
        sources=[
            SourceView(words.SOURCE_WORDS.get(name, name), words.count(n), 100.0 * n / leads)
            for name, n in sorted(by_source.items(), key=lambda item: -item[1])
        ],
        summary=f"{summary}; {words.count(waiting)} still to be looked up."
        if waiting
        else f"{summary}.",
    )
