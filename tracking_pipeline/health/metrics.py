"""The catalogue: everything that is to be known of one metric, in one row.

A row says how the metric is read, when it is bad, what its alert says, and where it is shown. Lists
of metrics and of alert types, thresholds, messages, asset checks, the figures of the page and of
the command line, the charts, and what ``/metrics`` exports all follow from the rows.

To add a metric: one row here, and what it reads, if nothing reads it yet, in ``health/readings/``.
A new type of alert is let into the CHECK on ``alert_type`` by the next ``migrate``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tracking_pipeline.delivery.engine.breaker import UNSPENT
from tracking_pipeline.delivery.engine.destination_check import (
    CRITICAL_DAYS,
    REMINDER_DAYS,
    WARNING_DAYS,
)
from tracking_pipeline.health.emq.score import HIGHEST_SCORE
from tracking_pipeline.health.formatting import percent

Metric = str
AlertType = str
Severity = Literal["warning", "critical"]
Level = Literal["ok", "warning", "critical", "no_data"]
Direction = Literal["below", "above"]

# The pipeline counts as stalled when this many checks were missed in a row.
MISSED_CHECKS_STALLED = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What one metric was at one moment, in its own unit; ``value`` None: there was no data.

    ``events``: how many the value rests on, None for a count, which needs no minimum. ``causes``
    are sentences without a full stop. ``detail`` (JSON values) and ``parts``, the values by
    destination, event name or the like, are kept with it. ``note`` is said beside the result, as
    why there is no data.
    """

    value: float | None
    events: int | None = None
    causes: tuple[str, ...] = ()
    detail: dict[str, Any] | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """The alert of a metric.

    ``title`` names it on the page, where ``rank`` orders the alerts: causes before their effects.

    Its thresholds: ``setting`` is the prefix of the two settings that hold them (``EMQ``:
    ``EMQ_WARNING`` and ``EMQ_CRITICAL``); without one they are ``warning`` and ``critical``, None
    where there is none. ``direction`` is the bad one. ``best`` is the best value that there is, and
    ``needs_events``: the value means nothing on fewer events than ``HEALTH_MINIMUM_EVENTS``.
    ``known_at_once``: it is not measured but known, and counting checks would only be late.
    ``remind_at``: the values at which a warning that goes on is told once more.

    In the texts ``{value}`` and ``{threshold}`` stand for the numbers. ``beyond`` follows ``bad``
    where there is a threshold other than 0, ``at_zero`` stands for ``bad`` where there is none, and
    ``over`` is how things stand at the end.
    """

    type: AlertType
    title: str
    rank: int
    bad: str
    over: str
    next_step: str
    beyond: str = ""
    at_zero: str = ""
    setting: str = ""
    warning: float | None = None
    critical: float | None = None
    direction: Direction = "above"
    best: float | None = None
    needs_events: bool = False
    known_at_once: bool = False
    remind_at: tuple[float, ...] = ()

    def passes_a_mark(self, before: float, now: float) -> bool:
        """Whether a value that gets worse has passed one of ``remind_at`` since ``before``."""
        if self.direction == "below":
            return any(now < mark <= before for mark in self.remind_at)
        return any(before <= mark < now for mark in self.remind_at)


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """The asset check that mirrors an alert: of which asset, and what it asks."""

    asset: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """How a metric is drawn over time. ``combine``: what becomes of the several points of one step,
    the mean of a score or a rate, the highest of a queue. ``highest`` is the upper end of the axis,
    None: as high as the values are."""

    title: str
    unit: str
    combine: Literal["mean", "max"] = "mean"
    highest: float | None = None


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric. ``name`` is its name in ``tracking_health_snapshots``, ``title`` the one for
    people.

    ``read`` takes it from the readings of a check (:class:`~tracking_pipeline.health.readings.
    readings.HealthReadings`), and from quick ones where ``quick`` says how the sensor tells it
    (``{value}``). ``figure``: it is one of the numbers that tell at a glance how things stand, on
    the page and on the command line. ``expected``: where it had data once, having none is an alert
    by itself. ``only_parts``: it has no value as a whole. ``export`` is its name and its help at
    ``/metrics``, where ``export_label`` tells its parts apart: then each of them is exported.
    """

    name: Metric
    title: str
    read: Callable[[Any], Measured]
    decimals: int = 0
    unit: str = ""
    figure: bool = False
    expected: bool = False
    only_parts: bool = False
    quick: str = ""
    export: tuple[str, str] | None = None
    export_label: str = ""
    alert: AlertSpec | None = None
    check: CheckSpec | None = None
    chart: ChartSpec | None = None

    def written(self, value: float) -> str:
        """The value as people read it, with its unit."""
        if self.unit == " %":
            return percent(value)
        return f"{value:,.{self.decimals}f}{self.unit}"


_STATUS = "Run `tracking-pipeline status`: it shows the last error of each destination"

_CATALOGUE = (
    MetricSpec(
        name="emq_score",
        title="EMQ score (estimate)",
        read=lambda readings: readings.emq.measured,
        decimals=1,
        figure=True,
        expected=True,
        export=("tracking_emq_score", "Estimated Event Match Quality, 0 to 10."),
        alert=AlertSpec(
            type="emq_critical",
            title="Match quality is low",
            rank=14,
            bad="the estimated EMQ score is {value} of 10",
            beyond="below {threshold}",
            over="the estimated EMQ score is {value} of 10",
            next_step="Open the asset emq_score: it shows how many events carry each match key. "
            "Fix the form or the server that no longer sends the key named here",
            setting="EMQ",
            direction="below",
            best=HIGHEST_SCORE,
            needs_events=True,
        ),
        check=CheckSpec(
            "emq_score",
            "score_is_good",
            "Is the estimated EMQ score above EMQ_WARNING (else WARN) and EMQ_CRITICAL (else "
            "ERROR)? If not, this says which match key fell, and which one would add most.",
        ),
        chart=ChartSpec("EMQ score", "of 10", highest=HIGHEST_SCORE),
    ),
    MetricSpec(
        name="emq_coverage",
        title="Match keys",
        read=lambda readings: readings.emq.coverage,
        only_parts=True,
        chart=ChartSpec("Match keys", "% of events", highest=100.0),
    ),
    MetricSpec(
        name="matchable",
        title="Conversions with enough match keys",
        read=lambda readings: readings.emq.matchable,
        only_parts=True,
        export=(
            "tracking_matchable_percent",
            "Share of the ledger's conversions with the match keys that a platform requires.",
        ),
        export_label="destination",
    ),
    MetricSpec(
        name="queue_depth",
        title="Failed events waiting",
        read=lambda readings: readings.queue.measured,
        figure=True,
        quick="{value:.0f} waiting",
        alert=AlertSpec(
            type="failed_events_critical",
            title="Failed events are piling up",
            rank=10,
            bad="failed events waiting to be sent again: {value}",
            beyond="more than {threshold}",
            over="failed events waiting to be sent again: {value}",
            next_step=_STATUS,
            setting="FAILED_EVENTS",
        ),
        check=CheckSpec(
            "queue_depth",
            "queue_is_short",
            "Is the number of waiting failed events at most FAILED_EVENTS_WARNING (else WARN) and "
            "FAILED_EVENTS_CRITICAL (else ERROR)? If not, this says for which destination.",
        ),
        chart=ChartSpec("Failed events waiting", "events", combine="max"),
    ),
    MetricSpec(
        name="queue_oldest_age_seconds",
        title="Oldest failed event",
        read=lambda readings: Measured(readings.queue.oldest_age_seconds),
        unit=" s",
    ),
    MetricSpec(
        name="error_rate",
        title="Error rate",
        read=lambda readings: readings.error_rate.measured,
        decimals=1,
        unit=" %",
        figure=True,
        quick="error rate {value:.1f} %",
        export=("tracking_error_rate_percent", "Share of events that failed, in percent."),
        alert=AlertSpec(
            type="error_rate_critical",
            title="Too many events fail",
            rank=11,
            bad="the error rate is {value} %",
            beyond="above {threshold} %",
            over="the error rate is {value} %",
            next_step=_STATUS,
            setting="ERROR_RATE",
            needs_events=True,
        ),
        check=CheckSpec(
            "error_rate",
            "few_events_fail",
            "Is the error rate at most ERROR_RATE_WARNING (else WARN) and ERROR_RATE_CRITICAL "
            "(else ERROR)? If not, this says at which destination most events failed.",
        ),
        chart=ChartSpec("Error rate", "%"),
    ),
    MetricSpec(
        name="delivery_rate",
        title="Conversions that arrived",
        read=lambda readings: readings.delivery_rate.measured,
        decimals=1,
        unit=" %",
        figure=True,
        export=(
            "tracking_delivery_rate_percent",
            "Share of the conversions due for delivery that were delivered, in percent, at the "
            "destination where it is lowest.",
        ),
        alert=AlertSpec(
            type="delivery_rate_low",
            title="Conversions do not arrive at a destination",
            rank=13,
            bad="of the conversions that should have reached a destination, {value} % did",
            beyond="below {threshold} %",
            over="of the conversions that should have reached a destination, {value} % did",
            next_step="Run `tracking-pipeline accounting`: it shows by destination, event name "
            "and day what happened to them, and why",
            setting="DELIVERY_RATE",
            direction="below",
            best=100.0,
            needs_events=True,
        ),
        check=CheckSpec(
            "delivery_accounting",
            "conversions_arrive_everywhere",
            "Is the share of conversions that were delivered, of those that should have been, "
            "above DELIVERY_RATE_WARNING (else WARN) and DELIVERY_RATE_CRITICAL (else ERROR) at "
            "every destination? If not, this says at which one, and why.",
        ),
        chart=ChartSpec("Conversions that arrived", "%", highest=100.0),
    ),
    MetricSpec(
        name="geo_coverage",
        title="Leads with a location",
        read=lambda readings: readings.places,
        decimals=1,
        unit=" %",
        figure=True,
        export=("tracking_geo_coverage_percent", "Share of leads with a location, in percent."),
        chart=ChartSpec("Leads with a location", "% of the leads of 7 days", highest=100.0),
    ),
    MetricSpec(
        name="geo_coverage_before",
        title="Leads with a location as people entered it",
        read=lambda readings: readings.places_before,
        only_parts=True,
    ),
    MetricSpec(
        name="dead_letters",
        title="New dead letters",
        read=lambda readings: readings.dead_letters.measured,
        figure=True,
        quick="{value:.0f} new dead letters",
        alert=AlertSpec(
            type="dead_letters",
            title="Events were given up",
            rank=12,
            bad="events that became dead letters: {value}",
            beyond="more than {threshold}",
            at_zero="events that became dead letters and are not tried again by themselves: "
            "{value}",
            over="events that became dead letters lately: {value}",
            next_step="Fix the cause, then run `tracking-pipeline replay --dry-run` to see what "
            "can be sent again",
            setting="DEAD_LETTERS",
        ),
        check=CheckSpec(
            "queue_depth",
            "events_are_not_given_up",
            "Did at most DEAD_LETTERS_WARNING (else WARN) and DEAD_LETTERS_CRITICAL (else ERROR) "
            "events become dead letters in a day? They are not retried until somebody replays "
            "them.",
        ),
    ),
    MetricSpec(
        name="paused_destinations",
        title="Paused destinations",
        read=lambda readings: readings.pauses,
        quick="{value:.0f} paused",
        alert=AlertSpec(
            type="destination_paused",
            title="A destination is paused",
            rank=2,
            bad="destinations that are paused: {value}",
            over="no destination is paused",
            next_step="Fix the token, the permission or the account that the reason names. "
            f"{UNSPENT}",
            # Events wait and new ones join them until a human mends it.
            critical=0,
            known_at_once=True,
        ),
        check=CheckSpec(
            "queue_depth",
            "destinations_take_events",
            "Does every destination accept events? ERROR: one refuses every event because of a "
            "token, a permission or an account that somebody has to fix. Its events wait without "
            "using up retries.",
        ),
    ),
    MetricSpec(
        name="geo_providers_down",
        title="Geolocation providers down",
        read=lambda readings: readings.providers_down,
        quick="{value:.0f} geolocation providers down",
        alert=AlertSpec(
            type="geo_provider_down",
            title="A geolocation provider is down",
            rank=15,
            bad="geolocation providers down: {value}",
            over="all geolocation providers respond",
            next_step="Nothing is lost: leads are looked up in the next provider, or later. If it "
            "persists, check the provider's URL, key and quota",
            # The next provider serves meanwhile, and a lead without a place is still a lead.
            warning=0,
        ),
        check=CheckSpec(
            "geo_coverage",
            "sources_of_places_answer",
            "Do the online geolocation providers respond? WARN: one has failed several times in a "
            "row. Meanwhile the next provider is used, and leads wait only if there is none.",
        ),
    ),
    MetricSpec(
        name="missing_metrics",
        title="Metrics without data",
        read=lambda readings: Measured(len(readings.missing), note=", ".join(readings.missing)),
        alert=AlertSpec(
            type="no_data",
            title="No conversions arrive",
            rank=3,
            bad="no conversion has reached the ledger lately, though there were some before",
            over="conversions reach the ledger again",
            next_step=(
                "Check that the site still writes to wm_event_log, and check CONVERSION_EVENT_NAMES"
            ),
            warning=0,
        ),
        check=CheckSpec(
            "emq_score",
            "conversions_arrive",
            "Do conversions reach the ledger, as they did before? If not, the site has stopped "
            "writing to wm_event_log, or CONVERSION_EVENT_NAMES does not name its events.",
        ),
    ),
    MetricSpec(
        name="missed_checks",
        title="Health checks missed",
        # The check that reads this came.
        read=lambda readings: Measured(0),
        alert=AlertSpec(
            type="pipeline_stalled",
            title="Health checks have stopped",
            rank=1,
            bad="health checks that did not come, one after another: {value}",
            over="health checks come again",
            next_step="Check that the Dagster daemon runs and that check_tracking_health_schedule "
            "is on (Deployment, Daemons; Automation)",
            critical=MISSED_CHECKS_STALLED - 1,
            known_at_once=True,
        ),
    ),
    MetricSpec(
        name="silent_events",
        title="Event names and destinations that fell silent",
        read=lambda readings: readings.changes.silent,
        export=(
            "tracking_silent_events",
            "Event names of which hardly any come any more, and destinations that get hardly any.",
        ),
        alert=AlertSpec(
            type="event_silence",
            title="Events have stopped coming",
            rank=5,
            bad="event names of which hardly any come, and destinations that are handed hardly any:"
            " {value}",
            over="all events come and are handed over as they usually are",
            next_step="Look at the form or the tag that sends them, and at what was released then",
            critical=0,
        ),
    ),
    MetricSpec(
        name="surging_events",
        title="Event names and destinations that surged",
        read=lambda readings: readings.changes.surging,
        export=(
            "tracking_surging_events",
            "Event names of which far more come than usually, and destinations that get far more.",
        ),
        alert=AlertSpec(
            type="event_surge",
            title="Far more events come than usually",
            rank=9,
            bad="event names of which far more come than usually, and destinations that are handed "
            "far more: {value}",
            over="no more events come than usually",
            next_step="Check whether a tag fires twice or a bot submits a form; for a campaign, "
            "do nothing",
            warning=0,
        ),
    ),
    MetricSpec(
        name="fallen_match_keys",
        title="Match keys that fell",
        read=lambda readings: readings.changes.fallen_keys,
        export=("tracking_fallen_match_keys", "Match keys that events suddenly lack."),
        alert=AlertSpec(
            type="match_key_fall",
            title="Events suddenly lack a match key",
            rank=6,
            bad="match keys that events suddenly lack: {value}",
            over="events carry the match keys that they usually do",
            next_step="Fix the form or the server that no longer sends it: look at what was "
            "released then",
            warning=0,
        ),
    ),
    MetricSpec(
        name="fallen_consent",
        title="Answers on consent that fell",
        read=lambda readings: readings.changes.fallen_consent,
        export=(
            "tracking_fallen_consent",
            "Answers on consent that events suddenly hardly bring any more.",
        ),
        alert=AlertSpec(
            type="consent_fall",
            title="What is said of consent changed suddenly",
            rank=7,
            bad="answers on consent that events suddenly hardly bring any more: {value}",
            over="consent is given and refused as it usually is",
            next_step="Look at the consent banner and at what was released then: if consent is in "
            "doubt, nothing is sent",
            warning=0,
        ),
    ),
    MetricSpec(
        name="repeated_orders",
        title="Orders under several event ids",
        read=lambda readings: readings.changes.repeated_orders,
        decimals=1,
        unit=" %",
        export=(
            "tracking_repeated_orders_percent",
            "Share of the orders of a day that came under several event ids, in percent: of the "
            "event name with the highest.",
        ),
        alert=AlertSpec(
            type="repeated_orders",
            title="Orders come under several event ids",
            rank=8,
            bad="of the orders of a day, {value} % came under several event ids",
            beyond="above {threshold} %",
            over="of the orders of a day, {value} % came under several event ids",
            next_step="A platform counts such an order twice. Mend what makes a new id for the "
            "same order; until then ONCE_AN_ORDER=true withholds the second one",
            warning=5,
            needs_events=True,
        ),
    ),
    MetricSpec(
        name="automation_failing",
        title="Schedules and sensors that fail",
        read=lambda readings: readings.automation.measured,
        export=(
            "tracking_automation_failing",
            "Schedules and sensors whose ticks fail or are missing.",
        ),
        alert=AlertSpec(
            type="automation_failing",
            title="A schedule or a sensor does not work",
            rank=4,
            bad="schedules and sensors whose ticks fail or do not come: {value}",
            over="all schedules and sensors tick",
            next_step="Open Automation in the Dagster UI: the failed tick has the whole error. If "
            "the daemon is down, start it (Deployment, Daemons)",
            warning=0,
            critical=2,
        ),
    ),
    MetricSpec(
        name="automation_tick_age_seconds",
        title="Last tick of each schedule and sensor",
        read=lambda readings: readings.automation.tick_ages,
        unit=" s",
        only_parts=True,
        export=(
            "tracking_automation_tick_age_seconds",
            "How long ago the last tick of a schedule or sensor was.",
        ),
        export_label="automation",
    ),
    MetricSpec(
        name="daemon_heartbeat_age_seconds",
        title="Last sign of life of the Dagster daemon",
        read=lambda readings: readings.automation.daemon_age,
        unit=" s",
        export=(
            "tracking_daemon_heartbeat_age_seconds",
            "How long ago the Dagster daemon showed that it lives.",
        ),
    ),
    MetricSpec(
        name="destination_days_left",
        title="Days until a token or an API version ends",
        read=lambda readings: readings.expiring,
        decimals=1,
        alert=AlertSpec(
            type="destination_expiring",
            title="A token or an API version is about to end",
            rank=16,
            bad="days until a token or the version of an API ends: {value}",
            beyond="less than {threshold}",
            over="no token and no version of an API is about to end",
            next_step="Renew the token, or set the newer version, then run `tracking-pipeline "
            "test-destinations`, which notices",
            direction="below",
            warning=WARNING_DAYS,
            critical=CRITICAL_DAYS,
            known_at_once=True,
            remind_at=(REMINDER_DAYS,),
        ),
        check=CheckSpec(
            "queue_depth",
            "tokens_and_versions_last",
            "Are the tokens and API versions of all destinations valid for 60 more days (else "
            "WARN) and 2 more days (else ERROR)? As found by check_destinations_job.",
        ),
    ),
    MetricSpec(
        name="recovery_rate",
        title="Delivered after all",
        read=lambda readings: readings.recovery.measured,
        decimals=1,
        unit=" %",
        figure=True,
    ),
    MetricSpec(
        name="recovered_by_hand",
        title="Delivered after all by hand",
        read=lambda readings: Measured(readings.recovery.total.by_hand),
    ),
    MetricSpec(
        name="withheld",
        title="Withheld in a day",
        read=lambda readings: readings.withheld.measured,
    ),
)
METRICS: dict[Metric, MetricSpec] = {spec.name: spec for spec in _CATALOGUE}


def alert_specs() -> list[tuple[MetricSpec, AlertSpec]]:
    """The metrics that have an alert, with it."""
    return [(spec, spec.alert) for spec in METRICS.values() if spec.alert is not None]


def alert_types() -> tuple[AlertType, ...]:
    """The types of alert."""
    return tuple(alert.type for _, alert in alert_specs())


def metric_of(alert_type: AlertType) -> MetricSpec | None:
    """The metric that an alert is about; None for a type that is not ours."""
    return next((spec for spec, alert in alert_specs() if alert.type == alert_type), None)


def alert_of(metric: Metric) -> AlertSpec | None:
    """The alert of a metric; None where it has none, or is not ours."""
    spec = METRICS.get(metric)
    return spec.alert if spec else None


def figures() -> list[MetricSpec]:
    """The metrics that tell at a glance how things stand."""
    return [spec for spec in METRICS.values() if spec.figure]


def alert_title(name: str) -> str:
    """What is wrong, by the name of an alert's type or of its metric; one that is not ours is its
    own."""
    titles = (alert.title for spec, alert in alert_specs() if name in (alert.type, spec.name))
    return next(titles, name)


def rank_of(alert_type: AlertType) -> int:
    """The place of an alert among those that a human should look at; those of others come last."""
    ranks = {alert.type: alert.rank for _, alert in alert_specs()}
    return ranks.get(alert_type, max(ranks.values()) + 1)
