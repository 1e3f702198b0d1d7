"""The verbs ``check``, ``heal``, ``digest`` and ``test-alerts``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tracking_pipeline.cli import loading
from tracking_pipeline.cli.delivery import show_retry
from tracking_pipeline.cli.output import Json, Rehearsal, out, replaceable, show, span
from tracking_pipeline.cli.places import show_enrich
from tracking_pipeline.errors import ExplainedError, WrongUseError

_STYLES = {"critical": "red", "warning": "yellow", "degraded": "yellow", "ok": "green"}


def check(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """Run a health check: one run of check_tracking_health_job. An alert is not an error."""
    with loading():
        from tracking_pipeline.cli.run import run_check

    show(as_json, {**run_check(rehearsal), **_told(rehearsal)}, show_check)


def heal(rehearsal: Rehearsal = False, as_json: Json = False) -> None:
    """Run the whole loop once: retry, enrich, check."""
    with loading():
        from tracking_pipeline.cli.run import run_heal

    answers = run_heal(rehearsal, quiet=as_json)
    show(as_json, {**answers, "check": {**answers["check"], **_told(rehearsal)}}, show_heal)


def digest(
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            dir_okay=False,
            callback=replaceable,
            help="Also write it to this HTML file.",
        ),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="Send it to ALERT_CHANNELS, once a week each.")
    ] = False,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Show the weekly digest: the last seven days, and what to do next."""
    from tracking_pipeline.delivery.destinations.meta.account import MetaAccount
    from tracking_pipeline.health.view.report_pages import ReportFileError, write_weekly
    from tracking_pipeline.health.view.weekly import digest_json, owe_digest, read_weekly_digest
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.wiring.health import health_config
    from tracking_pipeline.wiring.installation import open_installation

    settings = read_settings()
    config = health_config(settings)
    if send and not config.channels:
        raise WrongUseError("ALERT_CHANNELS is not set: there is nobody to send it to")
    with open_installation(settings, rehearsal=rehearsal or None) as installation:
        asks_meta = MetaAccount.configured(settings) is not None
        found = read_weekly_digest(installation.database, config, asks_meta=asks_meta)
        try:
            page = write_weekly(found, folder=html.parent, name=html.name) if html else None
        except ReportFileError as error:
            raise WrongUseError(str(error)) from None
        owed = owe_digest(installation.database, found, list(config.channels)) if send else 0
    told = _told(rehearsal) if send else {}
    answer = {**digest_json(found), "page": page and str(page), "channels_owed": owed, **told}
    show(as_json, answer, show_digest)


def show_digest(found: Mapping[str, Any]) -> None:
    """The JSON of a digest."""
    out.print(Text(found["title"], style="bold"))
    out.print(Text(found["text"]))
    if found["page"]:
        out.print(Text(f"Written to {found['page']}"))
    if sent := found.get("notifications"):
        out.print(f"{found['channels_owed']} channels were owed it; {sent['sent']} messages sent.")


def _told(rehearsal: bool) -> dict[str, Any]:
    """Tells what the check has found: where it is run from cron, nobody else does. Beside a daemon,
    which would, each message is still sent once."""
    from tracking_pipeline.health.notifications.notify import deliver_notifications
    from tracking_pipeline.health.view.summary import read_silent_channels
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.store.database import connect
    from tracking_pipeline.wiring.health import channels_from, health_config
    from tracking_pipeline.wiring.installation import open_installation

    settings = read_settings()
    with open_installation(settings, rehearsal=rehearsal or None) as installation:
        totals = deliver_notifications(installation.database, channels_from(settings))
        with connect(installation.database.url) as connection:
            silent = read_silent_channels(connection, health_config(settings).channels)
    return {
        "notifications": {"sent": totals.sent, "failed": totals.failed, "waiting": totals.waiting},
        "undelivered_alerts": [each.as_json() for each in silent],
    }


def try_channels(as_json: Json = False) -> None:
    """Send a test message to each channel in ALERT_CHANNELS and show the result. Exit status 1 if a
    channel did not accept it."""
    from tracking_pipeline.health.notifications.channels import send_test
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.wiring.health import channels_from

    channels = channels_from(read_settings())
    if not channels:
        raise WrongUseError("ALERT_CHANNELS is not set: there is no channel to test")
    answers = [asdict(send_test(channel)) for channel in channels]
    success = all(each["delivered"] for each in answers)
    hastened = _hasten([each["channel"] for each in answers if each["delivered"]])
    found = {"success": success, "results": answers, "hastened": hastened}
    show(as_json, found, show_channel_answers)
    if not success:
        raise typer.Exit(1)


def _hasten(channels: Sequence[str]) -> int:
    """What waits for channels that take messages is due at once. A test needs no database: without
    one, nothing waits that could be hastened."""
    import psycopg

    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.store.alert_notifications import hasten
    from tracking_pipeline.store.database import connect
    from tracking_pipeline.wiring.installation import open_installation

    try:
        with (
            open_installation(read_settings(), creates=False) as installation,
            connect(installation.database.url) as connection,
        ):
            return hasten(connection, channels)
    except (ExplainedError, psycopg.Error):
        return 0


def show_channel_answers(found: Mapping[str, Any]) -> None:
    """The JSON of a test of the channels."""
    for each in found["results"]:
        told = Text(f"  {each['position']}. {each['channel']}: ")
        if each["delivered"]:
            told.append("took the message", style="green")
        else:
            told.append(each["detail"], style="red")
        out.print(told)
    if found["hastened"]:
        out.print(f"{found['hastened']} waiting messages are due at once.")


def show_check(answer: Mapping[str, Any]) -> None:
    """The JSON of a health check."""
    verdicts = answer["verdicts"]
    _show_metrics(
        {
            name: {"value": value, "level": verdicts.get(name, {}).get("level")}
            for name, value in answer["metrics"].items()
        }
    )
    _show_details(verdicts)
    show_alerts(answer["active_alerts"])
    if answer["resolved"]:
        out.print(f"Resolved: {', '.join(answer['resolved'])}.", style="green")
    _show_verdict(answer)
    show_undelivered(answer.get("undelivered_alerts", ()))


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


def show_undelivered(channels: Sequence[Mapping[str, Any]]) -> None:
    """The channels that alerts do not reach."""
    for each in channels:
        out.print(Text(f"{each['detail']}.", style="red"))


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
    from tracking_pipeline.health.metrics import METRICS

    table = Table(title="Health", title_justify="left")
    for name in ("metric", "value", "level"):
        table.add_column(name, no_wrap=True, justify="right" if name == "value" else "left")
    for name, each in metrics.items():
        level = (each["level"] or "").replace("_", " ")
        table.add_row(
            METRICS[name].title,
            "no data" if each["value"] is None else METRICS[name].written(each["value"]),
            Text(level, style=_STYLES.get(level, "dim")),
        )
    out.print(table)


def _show_details(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    """Why a metric has no verdict."""
    from tracking_pipeline.health.metrics import METRICS

    for name, verdict in verdicts.items():
        if METRICS[name].figure and verdict["level"] == "no_data":
            out.print(Text(f"  {METRICS[name].title}: {verdict['detail']}", style="dim"))


def _show_verdict(answer: Mapping[str, Any]) -> None:
    style = _STYLES.get(answer["status"], "green")
    out.print(Text(f"Tracking is {answer['status']}: {answer['reason']}.", style=style))
