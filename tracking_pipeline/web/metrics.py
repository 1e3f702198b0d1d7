"""``GET /metrics``: the numbers that a monitoring system watches, in the format of Prometheus.

https://prometheus.io/docs/instrumenting/exposition_formats
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.metrics import METRICS, alert_types
from tracking_pipeline.health.view.status import DestinationStatus, read_destinations
from tracking_pipeline.health.view.summary import HealthSummary, SystemState, read_summary
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.web.answers import ERRORS
from tracking_pipeline.web.attempt_counters import BOUNDS_SECONDS, AttemptCounters
from tracking_pipeline.web.context import Context, shown_in_docs
from tracking_pipeline.web.security.client_address import is_local
from tracking_pipeline.wiring.health import health_config

metrics_router = APIRouter(tags=["monitoring"], responses=ERRORS)

_ALERT_LEVEL = {"warning": 1, "critical": 2}
_STATUS: dict[SystemState, int] = {"healthy": 0, "degraded": 1, "critical": 2}


@metrics_router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def show_metrics(
    request: Request, context: Context, _shown: Annotated[object, Depends(shown_in_docs)]
) -> Response:
    """Queue, outcomes, match quality, alerts, durations of attempts. For admins, and without a
    token for this machine itself."""
    if not is_local(request, context.settings.trusted_proxies):
        await context.access.admin(request)
    missing = context.installation.missing_settings()
    config = health_config(context.settings)
    found = await context.query(
        lambda connection: _read(connection, config, context.attempts, missing)
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(found)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _read(
    connection: psycopg.Connection[Any],
    config: HealthConfig,
    attempts: AttemptCounters,
    missing: Mapping[str, str],
) -> _Scrape:
    attempts.catch_up(connection)
    with one_moment(connection) as now:
        return _Scrape(
            read_summary(connection, now, config),
            read_destinations(connection, missing),
            attempts,
            config.channels,
        )


# By identity: the registry keeps its collectors in a dict.
@dataclass(frozen=True, eq=False)
class _Scrape(Collector):
    """What one scrape read."""

    summary: HealthSummary
    destinations: Mapping[str, DestinationStatus]
    attempts: AttemptCounters
    channels: Mapping[str, int]

    def collect(self) -> Iterator[Metric]:
        yield from self._queue()
        yield self._destinations()
        yield from self._health()
        yield self._withheld()
        yield self._status()
        yield self._alerts()
        yield from self._channels()
        yield from self._attempts()

    def _queue(self) -> Iterator[Metric]:
        rows = {name: each.waiting for name, each in self.destinations.items()}
        for name, about, values in (
            (
                "tracking_queue_waiting_events",
                "Failed events that wait to be sent again.",
                {name: each.waiting for name, each in rows.items()},
            ),
            (
                "tracking_queue_due_events",
                "Those of them whose waiting time is over.",
                {name: each.due for name, each in rows.items()},
            ),
            (
                "tracking_first_attempt_events",
                "Events taken in that wait for their first attempt, counted up to a bound.",
                {name: each.first_attempts for name, each in self.destinations.items()},
            ),
            (
                "tracking_queue_oldest_age_seconds",
                "How long the oldest of them has been there.",
                {name: each.oldest_age_seconds or 0.0 for name, each in rows.items()},
            ),
            (
                "tracking_dead_letter_events",
                "Failed events that are not tried again by themselves.",
                {name: each.dead_letters for name, each in rows.items()},
            ),
        ):
            family = GaugeMetricFamily(name, about, labels=["destination"])
            for destination, value in values.items():
                family.add_metric([destination], value)
            yield family

    def _destinations(self) -> Metric:
        """A destination that is not configured is absent: it is neither up nor paused."""
        family = GaugeMetricFamily(
            "tracking_destination_up",
            "1: events flow; 0: the destination is paused.",
            labels=["destination"],
        )
        for name, each in self.destinations.items():
            if each.state != "not_configured":
                family.add_metric([name], float(each.state != "paused"))
        return family

    def _health(self) -> Iterator[Metric]:
        """What has no data is absent, so that no rule mistakes it for a 0."""
        for spec in METRICS.values():
            parts = self.summary.parts(spec.name) if spec.export_label else {}
            values = parts or {"": self.summary.value(spec.name)}
            known = {part: value for part, value in values.items() if value is not None}
            if spec.export is None or not known:
                continue
            name, about = spec.export
            labels = [spec.export_label] if parts else []
            family = GaugeMetricFamily(name, f"{about} As of the last check.", labels=labels)
            for part, value in known.items():
                family.add_metric([part] if parts else [], value)
            yield family
        seconds_since_check = self.summary.heartbeat.seconds_since_check
        if seconds_since_check is not None:
            yield GaugeMetricFamily(
                "tracking_last_check_age_seconds",
                "How long ago the last health check was.",
                seconds_since_check,
            )

    def _withheld(self) -> Metric:
        family = GaugeMetricFamily(
            "tracking_withheld_events",
            "Events that a refusal or the site's own rule kept back within 24 hours. As of the "
            "last check.",
            labels=["destination"],
        )
        if self.summary.check is not None:
            withheld = self.summary.parts("withheld")
            for name in self.destinations:
                family.add_metric([name], withheld.get(name) or 0.0)
        return family

    def _status(self) -> Metric:
        return GaugeMetricFamily(
            "tracking_status",
            "0: tracking is healthy; 1: degraded; 2: critical.",
            _STATUS[self.summary.system.status],
        )

    def _alerts(self) -> Metric:
        family = GaugeMetricFamily(
            "tracking_alert_level",
            "0: no alert of this type is open; 1: a warning; 2: a critical one.",
            labels=["alert_type"],
        )
        open_alerts = self.summary.alerts
        levels = {each.alert_type: _ALERT_LEVEL.get(each.severity, 1) for each in open_alerts}
        if self.summary.heartbeat.is_stalled:  # whether or not anybody has raised it yet
            levels["pipeline_stalled"] = _ALERT_LEVEL["critical"]
        for alert_type in alert_types():
            family.add_metric([alert_type], levels.get(alert_type, 0))
        return family

    def _channels(self) -> Iterator[Metric]:
        labels = ["position", "channel"]
        up = GaugeMetricFamily(
            "tracking_alert_channel_up",
            "1: nothing is undelivered; 0: the channel of ALERT_CHANNELS does not take messages.",
            labels=labels,
        )
        undelivered = GaugeMetricFamily(
            "tracking_alert_messages_undelivered",
            "Messages of alerts that the channel has not taken.",
            labels=labels,
        )
        silent = {each.channel: each for each in self.summary.silent_channels}
        for channel, position in self.channels.items():
            found = silent.get(channel)
            values = [str(position), channel]
            up.add_metric(values, float(found is None))
            undelivered.add_metric(values, found.waiting + found.given_up if found else 0)
        yield up
        yield undelivered

    def _attempts(self) -> Iterator[Metric]:
        counted = CounterMetricFamily(
            "tracking_delivery_attempts",
            "Attempts to deliver an event since this server started.",
            labels=["destination", "outcome"],
        )
        for (destination, outcome), attempts in self.attempts.attempts.items():
            counted.add_metric([destination, outcome], attempts)
        yield counted
        warned = CounterMetricFamily(
            "tracking_delivery_warned_attempts",
            "Of them, deliveries that the destination warned of: it ignores a part of the event.",
            labels=["destination"],
        )
        for destination, attempts in self.attempts.warned.items():
            warned.add_metric([destination], attempts)
        yield warned
        durations = HistogramMetricFamily(
            "tracking_delivery_attempt_seconds",
            "How long the request of an attempt took.",
            labels=["destination"],
        )
        for destination, buckets in self.attempts.buckets.items():
            durations.add_metric(
                [destination], _cumulative(buckets), self.attempts.seconds[destination]
            )
        yield durations


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    """The buckets as Prometheus has them: each counts all that is not above its bound."""
    bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
    return [(bound, float(sum(buckets[: place + 1]))) for place, bound in enumerate(bounds)]
