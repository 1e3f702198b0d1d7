"""What the readings of one check mean: a verdict and its likely causes for each metric. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from tracking_pipeline.health.alerts.causes import (
    dead_letter_causes,
    destination_causes,
    emq_causes,
    outlived_words,
    paused_causes,
)
from tracking_pipeline.health.alerts.thresholds import Metric, Verdict, judge, missing_metrics
from tracking_pipeline.health.policy import HealthPolicy
from tracking_pipeline.health.readings.all import HealthReadings
from tracking_pipeline.health.readings.events import EmqReading


@dataclass(frozen=True, slots=True)
class Judgement:
    """A metric's verdict; ``causes`` are sentences for its alert's message. ``began_at``: since
    when it is so, where that is known."""

    verdict: Verdict
    causes: tuple[str, ...] = ()
    began_at: datetime | None = None


def judge_readings(
    readings: HealthReadings, policy: HealthPolicy, seen_before: Collection[str]
) -> dict[Metric, Judgement]:
    """The judgement of every metric that has an alert. ``seen_before``: the metrics that had data
    at an earlier check."""
    limits = policy.thresholds
    queue, error_rate, dead = readings.queue, readings.error_rate, readings.dead_letters
    waiting = {name: each.waiting for name, each in queue.by_destination.items()}
    score, before = readings.emq.score, readings.emq.before
    judged: dict[Metric, Judgement] = {
        "emq_score": Judgement(
            _emq_verdict(readings.emq, policy),
            emq_causes(score, before, policy.emq_weights) if score.state == "ok" else (),
        ),
        "queue_depth": Judgement(
            judge(limits["queue_depth"], queue.waiting), destination_causes(waiting)
        ),
        "error_rate": Judgement(
            judge(limits["error_rate"], error_rate.percent, error_rate.events),
            destination_causes(error_rate.failed_by_destination, error_rate.failed),
        ),
        "dead_letters": Judgement(
            judge(limits["dead_letters"], dead.events),
            (
                *dead_letter_causes(dead.batches),
                *(outlived_words(events, name) for name, events in dead.outlived.items()),
            ),
        ),
        "paused_destinations": Judgement(
            judge(limits["paused_destinations"], len(readings.paused)),
            paused_causes(readings.paused),
        ),
        "geo_providers_down": Judgement(
            judge(limits["geo_providers_down"], len(readings.geo_down)),
            paused_causes(readings.geo_down),
        ),
        # This check came.
        "missed_checks": Judgement(judge(limits["missed_checks"], 0)),
    }
    # While a history is being counted, nothing follows from what was not found yet.
    expected = seen_before if readings.emq.complete else ()
    verdicts: dict[str, Verdict] = {metric: each.verdict for metric, each in judged.items()}
    return {**judged, "missing_metrics": Judgement(missing_metrics(verdicts, expected))}


def _emq_verdict(emq: EmqReading, policy: HealthPolicy) -> Verdict:
    verdict = judge(policy.thresholds["emq_score"], emq.score.overall, emq.score.events)
    if emq.complete:
        return verdict
    reached = f"{emq.counted_until:%Y-%m-%d %H:%M}" if emq.counted_until else "its beginning"
    return replace(verdict, detail=f"the ledger's history is being counted, so far to {reached}")
