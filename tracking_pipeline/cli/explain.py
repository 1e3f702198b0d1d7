"""The verb ``explain``: what is read from an event, and what each destination would get."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tracking_pipeline.cli.output import (
    CommandError,
    Json,
    Rehearsal,
    err,
    out,
    show,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.errors import WrongUseError

if TYPE_CHECKING:
    from tracking_pipeline.delivery.explain import EventExplained
    from tracking_pipeline.importing.records import Problem, Record
    from tracking_pipeline.settings import Settings
    from tracking_pipeline.wiring.destinations import Made

# More than anybody reads; the first ones show what a file is made of.
MOST_OF_A_FILE = 1_000
_STANDARD_INPUT = "-"


def explain(
    event_id: Annotated[
        str | None,
        typer.Argument(help="The id of a row, event (any text), order or lead."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(help="Explain the events in this NDJSON or CSV file; - is standard input."),
    ] = None,
    destination: Annotated[
        DestinationName | None, typer.Option(help="Only what this destination would receive.")
    ] = None,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Show what is read from an event, and what each destination would receive."""
    if event_id is None and file is None:
        raise WrongUseError(
            "name an event by an id, or events by --file FILE (- is standard input)"
        )
    if event_id is not None and file is not None:
        raise WrongUseError("an id and --file exclude each other: leave one of them out")
    if event_id is not None and not event_id.strip():
        raise WrongUseError("the id is empty: name a row, an event, an order or a lead")
    from tracking_pipeline.settings import read_settings

    settings = read_settings()
    found = (
        _of_file(settings, file, destination, rehearsal=rehearsal)
        if file is not None
        else _of_id(settings, event_id or "", destination, rehearsal=rehearsal)
    )
    for problem in found.get("problems", ()):
        err.print(f"line {problem['line']}: {problem['message']}", markup=False)
    if found["more"]:
        err.print(f"Only the first {len(found['events'])} are shown.")
    show(as_json, found, show_explanation)


def _of_id(
    settings: Settings, wanted: str, only: DestinationName | None, *, rehearsal: bool
) -> dict[str, Any]:
    import psycopg

    from tracking_pipeline.delivery.explain import explain_id
    from tracking_pipeline.store.database import DatabaseError, connect
    from tracking_pipeline.wiring.destinations import preparing_destinations, reading_rules
    from tracking_pipeline.wiring.installation import open_installation

    with open_installation(settings, rehearsal=rehearsal or None, creates=False) as installation:
        database = installation.database
        made = _chosen(preparing_destinations(settings, rehearsal=database.rehearsal), only)
        rules = reading_rules(settings, rehearsal=database.rehearsal)
        try:
            with connect(database.url) as connection:
                found = explain_id(connection, wanted, made, rules)
        except psycopg.Error as error:
            # Its own words may quote a row.
            raise DatabaseError(
                f"the database failed (SQLSTATE {error.sqlstate or 'none'}): nothing was changed, "
                "run it again"
            ) from None
    if not found.events:
        where = "" if found.all_searched else "; orders were looked for in the newest rows only"
        raise CommandError(f"no event, order or lead has this id{where}: check it")
    return found.as_json(rehearsal=database.rehearsal)


def _of_file(
    settings: Settings, name: str, only: DestinationName | None, *, rehearsal: bool
) -> dict[str, Any]:
    """Needs no database. Where nothing is configured, a rehearsal's destinations are asked."""
    from tracking_pipeline.delivery.explain import Explanation, explain_unstored
    from tracking_pipeline.importing.records import ImportFileError, Problem
    from tracking_pipeline.importing.unstored import read_unstored
    from tracking_pipeline.wiring.destinations import preparing_destinations, reading_rules

    rehearsal = rehearsal or (
        settings.nothing_configured
        if settings.tracking_rehearsal is None
        else settings.tracking_rehearsal
    )
    made = _chosen(preparing_destinations(settings, rehearsal=rehearsal), only)
    rules = reading_rules(settings, rehearsal=rehearsal)
    events: list[EventExplained] = []
    problems: list[Problem] = []
    try:
        with _records(name) as records:
            found = read_unstored(records, datetime.now(timezone.utc), only)
            for each in itertools.islice(found, MOST_OF_A_FILE):
                if isinstance(each, Problem):
                    problems.append(each)
                else:
                    events.append(
                        explain_unstored(
                            each.event,
                            made,
                            rules,
                            line=each.line,
                            destination=each.destination,
                        )
                    )
            more = next(found, None) is not None
    except ImportFileError as error:
        raise WrongUseError(str(error)) from None
    if not events:
        why = f" (line {problems[0].line}: {problems[0].message})" if problems else ""
        raise WrongUseError(
            f"there is no event in {_source(name)}{why}: write one JSON object a line"
        )
    answer = Explanation(tuple(events), more=more).as_json(rehearsal=rehearsal)
    return {**answer, "problems": [problem.as_json() for problem in problems]}


@contextmanager
def _records(name: str) -> Iterator[Iterable[Record | Problem]]:
    from tracking_pipeline.importing.files import open_records
    from tracking_pipeline.importing.records import ImportFileError
    from tracking_pipeline.importing.rows import is_payload, names_event_field

    path = Path(name)
    if name != _STANDARD_INPUT and (not path.exists() or path.is_dir()):
        raise ImportFileError(f"{_source(name)} is no file: name one that can be read, or -")
    source = sys.stdin.buffer if name == _STANDARD_INPUT else path
    with open_records(source, knows=names_event_field, is_row=is_payload) as file:
        yield file.records


def _source(name: str) -> str:
    return "standard input" if name == _STANDARD_INPUT else Path(name).name


def _chosen(made: Iterable[Made], only: DestinationName | None) -> list[Made]:
    return [each for each in made if only is None or each.name == only]


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
    from tracking_pipeline.delivery.explain import retries_words

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
    if row["failure"] and row["status"] != "resolved":
        _show_failure(row)


def _show_failure(shown: Mapping[str, Any]) -> None:
    """The public code of a failure and what to do about it."""
    out.print(Text(f"  {shown['failure']}: {shown['remedy'] or ''}".rstrip(), style="yellow"))


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
    from rich.syntax import Syntax

    from tracking_pipeline.delivery.explain import why_not

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
    if each["failure"]:
        _show_failure(each)
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
        answer = " ".join(filter(None, (each["failure"], status, each["code"], each["message"])))
        for words in ("platform_message", "field_path", "trace_id"):
            if each[words]:
                answer += f"\n{words.replace('_', ' ')}: {each[words]}"
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
