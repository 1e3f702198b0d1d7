"""The readings of one check as rows of ``tracking_health_snapshots``. Pure.

One row a metric with its verdict, thresholds and whole reading, and one row for each of its parts
that a chart may show: by destination, event name, match key or age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tracking_pipeline.geo.coverage import GeoCoverage
from tracking_pipeline.health.alerts.judgement import Judgement
from tracking_pipeline.health.alerts.thresholds import Metric
from tracking_pipeline.health.policy import HealthPolicy
from tracking_pipeline.health.readings.all import HealthReadings
from tracking_pipeline.health.readings.events import EmqReading, ErrorRateReading
from tracking_pipeline.health.readings.queue import (
    QueueReading,
    RecoveryReading,
    recovered_percent,
)
from tracking_pipeline.health.readings.withheld import WithheldReading
from tracking_pipeline.store.health_snapshots import Snapshot


def snapshots_of(
    readings: HealthReadings, judged: Mapping[Metric, Judgement], policy: HealthPolicy
) -> list[Snapshot]:
    """The rows of one check. A metric that has an alert carries its verdict's level."""
    values = {metric: each.verdict.value for metric, each in judged.items()}
    values["emq_score"] = readings.emq.score.overall
    values["error_rate"] = readings.error_rate.percent
    details: dict[Metric, dict[str, Any]] = {
        "emq_score": _emq_detail(readings.emq),
        "queue_depth": _queue_detail(readings.queue),
        "error_rate": _error_detail(readings.error_rate),
        "dead_letters": asdict(readings.dead_letters),
        "paused_destinations": dict(readings.paused),
        "geo_providers_down": dict(readings.geo_down),
    }
    rows = [
        Snapshot(
            metric=metric,
            dimension=None,
            value=values[metric],
            state=each.verdict.level,
            warning=policy.thresholds[metric].warning,
            critical=policy.thresholds[metric].critical,
            detail=details.get(metric),
        )
        for metric, each in judged.items()
    ]
    return [
        *rows,
        *_emq_parts(readings.emq),
        *_queue_parts(readings.queue),
        *_error_parts(readings.error_rate),
        *_recovery_rows(readings.recovery),
        *_withheld_rows(readings.withheld),
        *_geo_rows(readings.geo),
    ]


def _emq_parts(emq: EmqReading) -> Iterator[Snapshot]:
    for name, of_name in emq.score.by_event.items():
        yield Snapshot("emq_score", name, of_name.score)
    for key, percent in emq.score.coverage_percent.items():
        yield Snapshot("emq_coverage", key, percent)


def _queue_parts(queue: QueueReading) -> Iterator[Snapshot]:
    for name, waiting in queue.by_destination.items():
        yield Snapshot("queue_depth", name, waiting.waiting)
    yield Snapshot("queue_oldest_age_seconds", None, queue.oldest_age_seconds)


def _error_parts(error_rate: ErrorRateReading) -> Iterator[Snapshot]:
    for name, percent in error_rate.percent_by_destination.items():
        yield Snapshot("error_rate", name, percent)


def _recovery_rows(recovery: RecoveryReading) -> Iterator[Snapshot]:
    detail = {age: asdict(counted) for age, counted in recovery.by_age.items()}
    yield Snapshot("recovery_rate", None, recovery.percent, detail=detail)
    yield Snapshot("recovered_by_hand", None, recovery.total.by_hand)
    for age, counted in recovery.by_age.items():
        yield Snapshot("recovery_rate", age, recovered_percent(counted))


def _withheld_rows(withheld: WithheldReading) -> Iterator[Snapshot]:
    yield Snapshot("withheld", None, withheld.last_day, detail=asdict(withheld))
    for name in dict.fromkeys(each.destination for each in withheld.by_reason):
        yield Snapshot("withheld", name, withheld.last_day_of(name))


def _geo_rows(geo: GeoCoverage) -> Iterator[Snapshot]:
    fields = {
        "city": (geo.with_city_percent, geo.before_city_percent),
        "state": (geo.with_state_percent, geo.before_state_percent),
        "zip": (geo.with_zip_percent, geo.before_zip_percent),
    }
    yield Snapshot("geo_coverage", None, geo.complete_percent, detail=asdict(geo))
    for name, (percent, before) in fields.items():
        yield Snapshot("geo_coverage", name, percent)
        yield Snapshot("geo_coverage_before", name, before)


def _emq_detail(emq: EmqReading) -> dict[str, Any]:
    score = emq.score
    return {
        "events": score.events,
        "trend": emq.trend,
        "previous": emq.before.overall,
        "window_days": emq.window_days,
        "next_best_key": score.next_best_key,
        "next_best_gain": score.next_best_gain,
        "without_ip_address_keys": score.without_ip_address_keys,
        "events_by_name": {name: of_name.events for name, of_name in score.by_event.items()},
    }


def _queue_detail(queue: QueueReading) -> dict[str, Any]:
    return {
        "due": queue.due,
        "leased": queue.leased,
        "oldest_age_seconds": queue.oldest_age_seconds,
        "growth_per_hour": queue.growth_per_hour,
        "dead_letters": queue.dead_letters,
        "dead_letters_by_reason": [asdict(batch) for batch in queue.dead_letters_by_reason],
    }


def _error_detail(error_rate: ErrorRateReading) -> dict[str, Any]:
    return {
        "failed": error_rate.failed,
        "events": error_rate.events,
        "window_hours": error_rate.window_hours,
        "failed_by_destination": dict(error_rate.failed_by_destination),
    }
