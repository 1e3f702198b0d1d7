"""What holds of every verdict, whatever the platform and its answer."""

from __future__ import annotations

from collections.abc import Iterator

from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Outcome,
    PerEvent,
    Refused,
    Suspected,
    Uniform,
    Verdict,
)


def outcomes_of(verdict: Verdict) -> Iterator[Outcome]:
    """Every outcome in a verdict."""
    if isinstance(verdict, Uniform):
        yield verdict.outcome
    elif isinstance(verdict, PerEvent):
        yield from verdict.outcomes
    elif isinstance(verdict, Suspected):
        yield verdict.paused
    elif isinstance(verdict, Refused):
        yield verdict.rejected
        yield from verdict.named.values()


def agrees_with_the_catalogue(verdict: Verdict) -> bool:
    """Whether the public failure of each outcome leads to that very outcome."""
    return all(
        outcome.fault.failure.outcome == outcome.name
        for outcome in outcomes_of(verdict)
        if not isinstance(outcome, Delivered)
    )
