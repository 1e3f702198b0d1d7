"""One event after another: what was read, what was said of consent, what each destination gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from tracking_pipeline.console.terminal import out
from tracking_pipeline.delivery.explain import retries_words, why_not

_STATE_STYLES = {"read": "", "absent": "dim", "unreadable": "red"}
_OUTCOME_STYLES = {
    "would_be_sent": "green",
    "withheld": "yellow",
    "postponed": "yellow",
    "rejected": "red",
    "not_configured": "dim",
}
_SAID_STYLES = {"granted": "green", "agreed": "green", "denied": "red", "unclear": "red"}


def show_explanation(found: Mapping[str, Any]) -> None:
    """The JSON of an explanation as tables."""
    if found["rehearsal"]:
        out.print("The destinations are those of a rehearsal.")
    for event in found["events"]:
        show_event(event)


def show_event(event: Mapping[str, Any]) -> None:
    """One event."""
    out.print(Rule(Text(_title(event)), align="left"))
    _show_row(event["row"])
    out.print(Text(f"Form: {event['form']['title']}"))
    if event["problem"]:
        out.print(Text(f"Not readable as one event: {event['problem']}", style="red"))
    _show_fields(event)
    _show_consent(event)
    _show_people(event["people"])
    for each in event["destinations"]:
        _show_destination(each)
    _show_attempts(event["attempts"])


def _title(event: Mapping[str, Any]) -> str:
    row, fields = event["row"], event["fields"]
    name = fields["event_name"]["value"] if fields else None
    place = f"line {row['line']}" if row["line"] else row["table"]
    return f"{name or 'an event'} · {row['event_id']} · {place}"


def _show_row(row: Mapping[str, Any]) -> None:
    if row["table"] == "file":
        return
    parts = [f"{row['table']} {row['id']}"]
    if row["destination"]:
        parts.append(f"to {row['destination']}")
    parts.append(row["status"].replace("_", " "))
    if row["table"] == "tracking_failed_events":
        parts.append(f"{retries_words(row['retry_count'], row['max_retries'])} retries spent")
    for words, name in (("next try", "next_retry_at"), ("settled", "resolved_at")):
        if row[name]:
            parts.append(f"{words} {_moment(row[name])}")
    if row["being_sent"]:
        parts.append("a worker holds it now")
    if row["replays"]:
        parts.append(f"replayed {row['replays']} times")
    out.print(Text(", ".join(parts)))
    for words, name in (("Reason", "reason"), ("Last error", "error")):
        if row[name]:
            code = f" ({row['error_code']})" if name == "error" and row["error_code"] else ""
            out.print(Text(f"{words}: {row[name]}{code}"))


def _show_fields(event: Mapping[str, Any]) -> None:
    table = _table("What is read", "field", "value", "where it stands")
    for name, each in (*event["fields"].items(), *event["click_ids"].items()):
        style = _STATE_STYLES[each["state"]]
        value = each["value"] if each["state"] == "read" else each["state"]
        where = " · ".join(filter(None, (each["path"], each["note"])))
        table.add_row(name, Text(str(value), style=style), Text(where, style=style))
    if table.row_count:
        out.print(table)
    if event["ignored"]:
        more = f" and {event['ignored_more']} more" if event["ignored_more"] else ""
        out.print(Text(f"Not used: {', '.join(event['ignored'])}{more}", style="dim"))


def _show_consent(event: Mapping[str, Any]) -> None:
    consent = event["consent"]
    table = _table("Consent", "purpose", "said", "where it stands")
    for purpose, each in consent["purposes"].items():
        table.add_row(purpose, _said(each["said"]), Text(each["path"]))
    for purpose, each in event["lead_consent"].items():
        where = f"the lead's newest: {each['path']}"
        table.add_row(purpose, _said(each["said"]), Text(where))
    if consent["global_privacy_control"]:
        table.add_row("Global Privacy Control", Text("set", style="red"), Text(""))
    for each in event["privacy_options"]:
        table.add_row(each["name"], Text(str(each["value"])), Text(each["path"]))
    out.print(table)
    out.print(
        Text(
            f"Of a purpose of which nothing is said (CONSENT_DEFAULT {consent['default']}): "
            f"{consent['silence']}.",
            style="dim",
        )
    )


def _said(word: str) -> Text:
    return Text(word, style=_SAID_STYLES.get(word, "dim"))


def _show_people(people: Iterable[Mapping[str, Any]]) -> None:
    table = _table("Match keys, and where they come from", "key", "value", "from", "used")
    for each in people:
        source = "" if each["source"] == "payload" else f"{each['source']}:"
        where = " ".join(filter(None, (source, each["path"])))
        used = ", ".join(each["used_by"]) or f"no: {each['note']}"
        style = "" if each["used_by"] else "dim"
        table.add_row(each["key"], Text(each["shown"]), Text(where), Text(used, style=style))
    if table.row_count:
        out.print(table)


def _show_destination(each: Mapping[str, Any]) -> None:
    outcome = each["outcome"]
    line = Text.assemble(
        (each["name"], "bold"),
        ": ",
        (outcome.replace("_", " "), _OUTCOME_STYLES[outcome]),
        " (this row's destination)" if each["own"] else "",
    )
    if each["until"]:
        line.append(f" until {_moment(each['until'])}")
    if why := why_not(each["reason"], each["message"]):
        line.append(f": {why}")
    out.print(line)
    if each["held"]:
        out.print(Text(f"  it takes nothing at present: {each['held']}", style="yellow"))
    if each["match_keys"]:
        out.print(Text(f"  match keys: {', '.join(each['match_keys'])}"))
    for dropped in each["dropped"]:
        out.print(
            Text(f"  left out: {dropped['key']}, {dropped['reason']} ({dropped['count']})"),
            style="dim",
        )
    for title in ("shared", "body"):
        if each[title] is not None:
            written = orjson.dumps(each[title], option=orjson.OPT_INDENT_2).decode()
            out.print(
                Syntax(written, "json", background_color="default", word_wrap=True)
                if out.is_terminal
                else Text(written)
            )


def _show_attempts(attempts: Iterable[Mapping[str, Any]]) -> None:
    table = _table("Attempts, the oldest first", "when", "destination", "outcome", "answer", "run")
    for each in attempts:
        status = f"HTTP {each['http_status']}" if each["http_status"] else ""
        answer = " ".join(filter(None, (status, each["code"], each["message"])))
        table.add_row(
            _moment(each["at"]),
            each["destination"],
            f"{each['attempt']}: {each['outcome']}",
            Text(answer),
            Text(each["run_id"] or each["worker"] or ""),
        )
    if table.row_count:
        out.print(table)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for position, name in enumerate(columns):
        table.add_column(name, no_wrap=position == 0, overflow="fold")
    return table
