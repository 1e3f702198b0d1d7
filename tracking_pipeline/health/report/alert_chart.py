"""The chart of alerts over time. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from tracking_pipeline.health.formatting import count_of, duration, moment
from tracking_pipeline.health.report.charts import Bar, Chart, Table
from tracking_pipeline.health.report.evidence import Evidence
from tracking_pipeline.store.alerts import Alert

# An episode of a minute in two weeks must still be seen.
_SHORTEST_BAR_SHARE = 0.006
_TABLE_ROWS = 12


def alert_chart(evidence: Evidence, begins: datetime) -> Chart:
    """The alerts from ``begins`` to now, a row a type, and the newest of them as a table."""
    episodes = sorted(evidence.episodes, key=lambda each: each.created_at)
    now, shortest = evidence.now, (evidence.now - begins) * _SHORTEST_BAR_SHARE
    bars = [_bar(each, begins, now, shortest) for each in episodes]
    still = sum(bar.open for bar in bars)
    summary = (
        f"{count_of(len(bars), 'alert')} from {moment(begins)} to {moment(now)}, {still} still "
        "open."
        if bars
        else "No alert since the first check on record."
        if evidence.check
        else "Nothing to draw yet: no check has run."
    )
    rows = [
        (
            each.alert_type,
            each.severity,
            moment(each.created_at),
            duration((each.resolved_at or now) - each.created_at),
            "open" if each.resolved_at is None else "over",
        )
        for each in reversed(episodes[-_TABLE_ROWS:])
    ]
    table = Table(("alert", "severity", "since", "lasted", "state"), rows)
    return Chart("alerts", "Alerts", "", summary, begins, now, bars=bars, table=table)


def _bar(episode: Alert, begins: datetime, now: datetime, shortest: timedelta) -> Bar:
    since = min(max(episode.created_at, begins), now - shortest)
    until = max(episode.resolved_at or now, since + shortest)
    severity: Literal["warning", "critical"] = (
        "critical" if episode.severity == "critical" else "warning"
    )
    return Bar(episode.alert_type, since, until, severity, episode.resolved_at is None)
