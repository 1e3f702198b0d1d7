"""Made-up records of a site's health, for reports: a site whose e-mails stopped two days ago."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from math import sin
from typing import Any
from uuid import uuid4

from tracking_pipeline.geo.coverage import GeoCoverage
from tracking_pipeline.health.emq.keys import mask_of
from tracking_pipeline.health.view.report_data import ReportData
from tracking_pipeline.health.view.summary import HealthSummary
from tracking_pipeline.store.alerts import AlertRow
from tracking_pipeline.store.health_history import RecordedCheck, ReportedScore
from tracking_pipeline.store.health_snapshots import Snapshot, Taken
from tracking_pipeline_tests.health.site import policy as config

NOW = datetime(2026, 11, 24, 10, 5, tzinfo=timezone.utc)
NO_LEADS = GeoCoverage(0, None, None, None, None, None, None, None, {}, 0, 0)
LEADS = GeoCoverage(420, 84.5, 91.2, 93.0, 84.5, 11.9, 12.4, 9.8, {"mmdb": 330, "user": 53}, 12, 4)
DEAD_LETTERS = [
    {"destination": "meta_capi", "reason": "expired", "events": 37},
    {
        "destination": "google_ec",
        "reason": "missing <b>for</b> | this",
        "events": 2,
    },
]
BROWSER = ("fbp", "client_ip_address", "client_user_agent")
COUNTS = {
    "Lead": {
        mask_of(("em", "ph", "fn", "ln", *BROWSER), from_ip=("ct", "st", "zp", "country")): 700,
        mask_of(("ph", "fbc", "ct", "st", "zp", "country", *BROWSER)): 90,
        mask_of(BROWSER): 210,
    },
    "Purchase": {mask_of(("em", "ph", "fbc", *BROWSER)): 180},
}


def new_site(**changes: Any) -> ReportData:
    """Nothing is on record yet."""
    nothing = HealthSummary(NOW)
    return replace(
        ReportData(nothing, "tracking on db.example.com", False, config(), NO_LEADS), **changes
    )


def sick_site(*, snapshots: list[Snapshot] | None = None, **changes: Any) -> ReportData:
    """Two weeks of history, two alerts open, dead letters. ``snapshots``: of the last check."""
    check = RecordedCheck(NOW - timedelta(minutes=3), snapshots or last_check())
    alerts = recorded_alerts()
    still_open = [each for each in alerts if each.resolved_at is None]
    still_open.sort(key=lambda each: each.severity)
    data = new_site(
        summary=HealthSummary(NOW, check, still_open),
        geo=LEADS,
        counts=COUNTS,
        alerts=alerts,
        history=history(),
        breach_to_alert_seconds=[31.0, 44.0, 12.5],
    )
    return replace(data, **changes)


def last_check() -> list[Snapshot]:
    emq = {
        "events": 1180,
        "trend": -0.7,
        "previous": 7.3,
        "window_days": 7,
        "next_best_key": "external_id",
        "next_best_gain": 0.6,
        "without_ip_address_keys": 6.2,
        "events_by_name": {"Lead": 1000, "Purchase": 180},
    }
    queue = {
        "due": 9,
        "leased": 0,
        "oldest_age_seconds": 7320.0,
        "growth_per_hour": 12.4,
        "dead_letters": 39,
        "dead_letters_by_reason": DEAD_LETTERS,
    }
    errors = {
        "failed": 25,
        "events": 610,
        "window_hours": 24,
        "failed_by_destination": {"meta_capi": 20, "google_ec": 5},
    }
    # In the order in which PostgreSQL keeps the keys of a JSON object.
    recovery = {
        "1 to 6 h": {"failed": 30, "resolved": 29, "dead_letters": 1, "by_hand": 1},
        "1 to 7 d": {"failed": 78, "resolved": 70, "dead_letters": 8, "by_hand": 5},
        "6 to 24 h": {"failed": 0, "resolved": 0, "dead_letters": 0, "by_hand": 0},
        "under 1 h": {"failed": 12, "resolved": 4, "dead_letters": 0, "by_hand": 0},
    }
    return [
        Snapshot("emq_score", None, 6.6, "warning", 7.0, 4.0, emq),
        Snapshot("emq_score", "Lead", 6.3),
        Snapshot("emq_score", "Purchase", 8.2),
        Snapshot("queue_depth", None, 12, "critical", 5, 10, queue),
        Snapshot("queue_depth", "meta_capi", 10),
        Snapshot("queue_depth", "google_ec", 2),
        Snapshot("error_rate", None, 4.1, "warning", 2, 5, errors),
        Snapshot("dead_letters", None, 3, "warning", 0, 10, {"hours": 24}),
        Snapshot("paused_destinations", None, 0, "ok", None, 0, {}),
        Snapshot("geo_providers_down", None, 0, "ok", 0, None, {}),
        Snapshot("missing_metrics", None, 0, "ok", 0, None),
        Snapshot("recovery_rate", None, 85.8, detail=recovery),
        Snapshot("recovered_by_hand", None, 6),
    ]


def recorded_alerts() -> list[AlertRow]:
    def ago(**span: float) -> datetime:
        return NOW - timedelta(**span)

    def ended(alert_type: str, severity: str, since: datetime, until: datetime) -> AlertRow:
        return AlertRow(uuid4(), alert_type, severity, "", since, resolved_at=until)

    return [
        AlertRow(
            uuid4(),
            "emq_critical",
            "warning",
            "The estimated EMQ score is 6.6 of 10, below 7.0 (warning), since 2026-11-22 10:05 UTC."
            " Likely cause: e-mail (em) fell from 86 % to 61 % of the events. Open the asset "
            "emq_score: it shows how many events carry each match key. Fix the form or the "
            "server that no longer sends the key named here.",
            ago(days=2),
            acknowledged_at=ago(days=1),
        ),
        AlertRow(
            uuid4(),
            "failed_events_critical",
            "critical",
            "Failed events waiting to be sent again: 12, more than 10 (critical), since "
            "2026-11-24 09:35 UTC. Likely cause: 10 of 12 events are for meta_capi. Run "
            "`tracking-pipeline status`: it shows the last error of each destination.",
            ago(minutes=30),
        ),
        AlertRow(
            uuid4(), "failed_events_critical", "warning", "", ago(days=6), resolved_at=ago(days=5.8)
        ),
        AlertRow(
            uuid4(), "error_rate_critical", "warning", "", ago(days=6), resolved_at=ago(days=5.5)
        ),
        AlertRow(
            uuid4(), "destination_paused", "critical", "", ago(days=9), resolved_at=ago(days=8.9)
        ),
    ]


def history(days: int = 14) -> list[Taken]:
    """A check every quarter of an hour, but for half a day without any."""
    taken = []
    for number in range(days * 96, -1, -1):
        at = NOW - timedelta(minutes=15 * number)
        age = number / 96
        if 10 < age < 10.5:
            continue
        wave, sick = sin(number / 15), 1.0 if age < 2 else 0.0
        queue = max(0.0, 3 + 3 * wave + 7 * sick * (2 - age) / 2)
        values: list[tuple[str, str | None, float]] = [
            ("emq_score", None, 7.3 + 0.1 * wave - 0.7 * sick * (2 - age) / 2),
            ("emq_score", "Lead", 7.0),
            ("emq_coverage", "em", 86 + wave - 25 * sick),
            ("emq_coverage", "ph", 80 - wave),
            ("emq_coverage", "fbp", 97.0),
            ("emq_coverage", "fbc", 22 + 2 * wave),
            ("emq_coverage", "external_id", 0.0),
            ("emq_coverage", "zp", 20 + 50 * min(1.0, (14 - age) / 4)),
            ("queue_depth", None, queue),
            ("queue_depth", "meta_capi", queue * 0.8),
            ("queue_depth", "google_ec", queue * 0.2),
            ("queue_depth", "supabase", 0.0),
            ("error_rate", None, 1.2 + 0.4 * wave + 2.5 * sick),
            ("error_rate", "meta_capi", 1.0 + 0.4 * wave + 2.0 * sick),
            ("geo_coverage", None, 20 + 64 * min(1.0, (14 - age) / 4)),
            ("geo_coverage", "city", 20 + 71 * min(1.0, (14 - age) / 4)),
            ("geo_coverage", "zip", 20 + 64 * min(1.0, (14 - age) / 4)),
            ("geo_coverage_before", "city", 11.9),
            ("geo_coverage_before", "zip", 9.8),
        ]
        taken += [Taken(metric, part, value, None, at) for metric, part, value in values]
    return taken


def reported(days: int, *, weight_of_em: float = 0.3) -> list[ReportedScore]:
    """Scores of a Meta that weighs e-mail less than the default weights do, by day."""
    found = []
    for number in range(days):
        em = 40.0 + 5 * (number % 10)
        exponent = weight_of_em * em / 100 + 0.9
        score = 10 * (1 - 2.718281828**-exponent)
        ours = {"em": em, "fbp": 97.0, "client_ip_address": 100.0, "client_user_agent": 100.0}
        theirs = {"email": em - 30, "user_agent": 100.0, "something_new": 4.0}
        at = NOW - timedelta(days=days - number, hours=3)
        found.append(ReportedScore("Lead", score, at, theirs, ours))
    return found
