"""Health checks: what was measured, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from tracking_pipeline.console.delivery import show_retry
from tracking_pipeline.console.places import show_enrich
from tracking_pipeline.console.terminal import out
from tracking_pipeline.console.words import span

_STYLES = {"critical": "red", "warning": "yellow", "degraded": "yellow", "ok": "green"}
_LABELS = {
    "emq_score": "EMQ score (estimate), of 10",
    "queue_depth": "failed events waiting",
    "error_rate": "events that failed",
    "geo_coverage": "leads with a place",
    "dead_letters": "new dead letters, 24 h",
}
_SHARES = ("error_rate", "geo_coverage")


def show_check(answer: Mapping[str, Any]) -> None:
    """The JSON of a health check."""
    verdicts = answer["verdicts"]
    values = {**answer["metrics"], "dead_letters": verdicts["dead_letters"]["value"]}
    _show_metrics(
        {
            name: {"value": value, "level": verdicts.get(name, {}).get("level")}
            for name, value in values.items()
        }
    )
    _show_details(verdicts)
    show_alerts(answer["active_alerts"])
    if answer["resolved"]:
        out.print(f"Over: {', '.join(answer['resolved'])}.", style="green")
    _show_verdict(answer)


def show_heal(answers: Mapping[str, Any]) -> None:
    """The JSON of one pass of the loop."""
    show_retry(answers["retry"])
    out.print()
    show_enrich(answers["enrich"])
    out.print()
    show_check(answers["check"])


def show_standing(health: Mapping[str, Any]) -> None:
    """How tracking stood at the last check, where there was one."""
    if health["metrics"]:
        _show_metrics(health["metrics"])
        out.print(f"Checked {span(health['seconds_since_check'])} ago.")
    _show_verdict(health)
    if health["stalled"]:
        out.print(
            Text(
                f"{health['missed_checks']} health checks did not come: is the Dagster daemon "
                "running, and check_tracking_health_schedule on?",
                style="red",
            )
        )


def show_alerts(alerts: list[Mapping[str, Any]]) -> None:
    """The open alerts."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for alert in alerts:
        style = _STYLES.get(alert["severity"], "")
        grid.add_row(Text(alert["severity"], style=style), Text(alert["message"]))
    out.print(grid)
    if not alerts:
        out.print("No open alerts.")


def _show_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title="Health", title_justify="left")
    for name in ("metric", "value", "level"):
        table.add_column(name, no_wrap=True, justify="right" if name == "value" else "left")
    for name, each in metrics.items():
        level = (each["level"] or "").replace("_", " ")
        table.add_row(
            _LABELS.get(name, name),
            _value(name, each["value"]),
            Text(level, style=_STYLES.get(level, "dim")),
        )
    out.print(table)


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "no data"
    if name in _SHARES:
        return f"{value:.1f} %"
    return f"{value:.1f}" if name == "emq_score" else f"{value:.0f}"


def _show_details(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    """Why a metric has no verdict."""
    for name, verdict in verdicts.items():
        if name in _LABELS and verdict["level"] == "no_data":
            out.print(Text(f"  {_LABELS[name]}: {verdict['detail']}", style="dim"))


def _show_verdict(answer: Mapping[str, Any]) -> None:
    style = _STYLES.get(answer["status"], "green")
    out.print(Text(f"Tracking is {answer['status']}: {answer['reason']}.", style=style))
