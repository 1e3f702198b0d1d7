"""The verb ``accounting``: did the conversions arrive?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tracking_pipeline.cli.output import Json, Rehearsal, count_text, out, show
from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, DestinationName
from tracking_pipeline.errors import WrongUseError

_COLUMNS = {
    "conversions": "conversions",
    "withheld": "withheld",
    "waiting": "waiting",
    "dead": "given up",
    "never_handed_over": "never sent",
}


def accounting(
    since: Annotated[
        str, typer.Option(help="Start day or time (ISO 8601, UTC). [default: 7 days ago]")
    ] = "",
    until: Annotated[str, typer.Option(help="End day (inclusive) or time (exclusive).")] = "",
    destination: Annotated[
        DestinationName | None, typer.Option(help="Only this destination.")
    ] = None,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Show what happened to the ledger's conversions at each destination, and why."""
    from tracking_pipeline.health.readings.arrivals import TIME_BUDGET_SECONDS
    from tracking_pipeline.health.view.accounting import account_for, accounting_json
    from tracking_pipeline.settings import read_settings
    from tracking_pipeline.store.database import connect
    from tracking_pipeline.wiring.health import health_config
    from tracking_pipeline.wiring.installation import open_installation

    begin, end = _moment("--since", since), _moment("--until", until, is_end=True)
    settings = read_settings()
    with (
        open_installation(settings, rehearsal=rehearsal or None) as installation,
        connect(installation.database.url) as connection,
    ):
        found = account_for(
            connection,
            health_config(settings),
            begin,
            end,
            [destination] if destination else DESTINATIONS,
            time_budget_seconds=TIME_BUDGET_SECONDS,
        )
    if found is None:
        raise WrongUseError("--since must be before --until and before now")
    show(as_json, accounting_json(found), show_accounting)


def _moment(option: str, text: str, *, is_end: bool = False) -> datetime | None:
    """The moment that is meant: of a day its beginning, or as an end the next day's."""
    if not text:
        return None
    try:
        if len(text) == len("2026-01-31"):
            day = date.fromisoformat(text) + timedelta(days=int(is_end))
            return datetime.combine(day, time(), timezone.utc)
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(
            timezone.utc
        )
    except (ValueError, OverflowError):
        raise WrongUseError(f"{option} must be a day or a moment: 2026-01-31T12:00") from None


def show_accounting(found: Mapping[str, Any]) -> None:
    """The JSON of the accounting as tables."""
    since, until = (found[each][:16].replace("T", " ") for each in ("since", "until"))
    table = Table(title=f"Conversions from {since} to {until} UTC", title_justify="left")
    table.add_column("destination", no_wrap=True)
    for name in ("arrived", "change", "delivered", "assumed", *_COLUMNS.values(), "difference"):
        table.add_column(name, justify="right", no_wrap=name == "arrived")
    for name, each in found["destinations"].items():
        table.add_row(
            name,
            _number(each["delivered_percent"], " %"),
            _number(each["change_points"], ""),
            count_text(each["delivered"]["total"]),
            count_text(each["assumed_delivered"]),
            *(count_text(each[key]) for key in _COLUMNS),
            count_text(each["difference"], "yellow"),
        )
    out.print(table)
    if not found["destinations"]:
        out.print("No conversion is accounted for: none came, or no destination is in use.")
    for name, each in found["destinations"].items():
        _show_reasons(name, each)
    if found["hours_left"]:
        out.print(Text(f"{found['hours_left']} hours are still to be counted.", style="yellow"))
    _show_consent(found["consent"])
    _show_deduplication(found["deduplication"])
    repeated = found["repeated_orders"]
    if repeated["count"]:
        out.print(f"Orders under several event ids: {repeated['count']}")
        for order in repeated["orders"]:
            ids = ", ".join(order["event_ids"])
            out.print(Text(f"  {order['order_id']} ({order['event_name']}): {ids}"))


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.1f}{unit}"


def _show_reasons(name: str, account: Mapping[str, Any]) -> None:
    if account["reasons"]:
        table = Table(title=f"{name}: why", title_justify="left")
        table.add_column("events", justify="right")
        table.add_column("what became of them", no_wrap=True)
        table.add_column("reason", overflow="fold")
        table.add_column("an event", no_wrap=True)
        for each in account["reasons"]:
            table.add_row(
                str(each["events"]),
                each["became"].replace("_", " "),
                Text(each["reason"].replace("_", " ")),
                each["samples"][0] if each["samples"] else "",
            )
        out.print(table)
    risk = account["at_risk"]
    if risk["amount"]:
        about = "about " if risk["estimated"] else ""
        out.print(f"  At risk: {about}{risk['amount']:,.2f} {risk['currency']}")
    if beside := sum(account["not_in_ledger"].values()):
        out.print(f"  {beside} failed events beside these are not in the ledger")


def _show_deduplication(found: Mapping[str, Any]) -> None:
    from tracking_pipeline.health.readings.deduplication import Deduplication
    from tracking_pipeline.health.view.accounting import meeting_words
    from tracking_pipeline.store.health_history import KeyFeedback

    told = Deduplication(
        found["orders"],
        found["orders_under_one_id"],
        [KeyFeedback(**each) for each in found["meta"]],
        found["google_events"],
        found["google_duplicates"],
    )
    for sentence in meeting_words(told):
        out.print(Text(sentence))


def _show_consent(days: list[Mapping[str, Any]]) -> None:
    names: dict[str, dict[str, int]] = {}
    for each in days:
        total = names.setdefault(each["event_name"], {})
        for said in ("granted", "refused", "unknown"):
            total[said] = total.get(said, 0) + each[said]
    if names:
        table = Table(title="Consent to advertising", title_justify="left")
        table.add_column("event", no_wrap=True)
        for said in ("granted", "refused", "unknown"):
            table.add_column(said, justify="right")
        for name, total in names.items():
            table.add_row(Text(name), *(count_text(count) for count in total.values()))
        out.print(table)
