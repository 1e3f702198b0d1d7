"""What one enrichment run did, as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias
from uuid import UUID

from tracking_pipeline.store.lead_places import Found

StoppedReason: TypeAlias = Literal["done", "limit", "time_budget", "sources_busy"]


@dataclass(frozen=True, slots=True)
class EnrichTotals:
    """One enrichment run, in leads. ``examined`` = enriched + skipped.

    ``enriched`` leads got at least one field; ``by_source`` tells from where, by the first field.
    Of the skipped, ``complete`` ones had their place from a person, ``without_address`` ones had
    nothing to look up, ``waiting`` ones wait for a source or for another worker's answer, with
    nothing spent. ``by_status`` counts what was noted as ``geo_status``. ``refused`` places were
    not taken by the site's table. ``corrected`` leads were changed by a person after an earlier
    run. ``asked_online`` counts addresses. ``missing`` tells for each provider that could not serve
    what to set.
    """

    examined: int = 0
    enriched: int = 0
    complete: int = 0
    without_address: int = 0
    waiting: int = 0
    refused: int = 0
    corrected: int = 0
    asked_online: int = 0
    by_source: Mapping[str, int] = field(default_factory=dict)
    by_status: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stopped_reason: StoppedReason = "done"
    dry_run: bool = False

    @property
    def skipped(self) -> int:
        return self.examined - self.enriched

    def as_json(self) -> dict[str, Any]:
        """The command line's answer."""
        return {
            "success": True,
            **asdict(self),
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
        }


def kind_of(source: str) -> str:
    """``mmdb`` of ``mmdb dbip-city-lite 2026-11``: what stays the same from month to month."""
    return source.partition(" ")[0]


class Tally:
    """The running count of one run."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.by_source: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()

    def count(
        self,
        found: Iterable[Found],
        sources: Mapping[UUID, str | None],
        refused: Iterable[UUID] = (),
    ) -> None:
        """Counts findings that were saved. ``sources`` is the ``geo_source`` of each lead now: one
        that the finding does not name shows that the site was faster."""
        turned_down = set(refused)
        for each in found:
            source = sources.get(each.id)
            if each.id in turned_down:
                self.numbers["refused"] += 1
                self.by_status["error"] += 1
                continue
            if source is not None and source in each.sources:
                self.numbers["enriched"] += 1
                self.by_source[kind_of(source)] += 1
            if each.status is None:
                self.numbers["waiting"] += 1
            else:
                self.by_status[each.status] += 1

    def totals(
        self,
        *,
        seconds: float,
        stopped_reason: StoppedReason,
        missing: Mapping[str, str],
        dry_run: bool,
    ) -> EnrichTotals:
        return EnrichTotals(
            **self.numbers,
            by_source=dict(self.by_source),
            by_status=dict(self.by_status),
            missing=dict(missing),
            seconds=seconds,
            stopped_reason=stopped_reason,
            dry_run=dry_run,
        )
