"""The verb ``explain``: what is read from an event, and what each destination would get."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from tracking_pipeline.cli.output import CommandError, Json, Rehearsal, WrongUseError, show
from tracking_pipeline.console.explain import show_explanation
from tracking_pipeline.console.terminal import err
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.explain import (
    EventExplained,
    Explanation,
    explain_id,
    explain_unstored,
)
from tracking_pipeline.importing import ImportFileError
from tracking_pipeline.importing.files import open_records, read_stream
from tracking_pipeline.importing.lines import Record
from tracking_pipeline.importing.totals import Problem
from tracking_pipeline.importing.unstored import read_unstored
from tracking_pipeline.settings import Settings, read_settings
from tracking_pipeline.store.database import DatabaseError, connect
from tracking_pipeline.wiring.destinations import Made, preparing_destinations, reading_rules
from tracking_pipeline.wiring.installation import open_installation

# More than anybody reads; the first ones show what a file is made of.
MOST_OF_A_FILE = 1_000
_STANDARD_INPUT = "-"


def explain(
    event_id: Annotated[
        str | None,
        typer.Argument(help="A row's id, an event's (any text), an order's or a lead's."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(help="Events that are not stored: NDJSON or CSV; - is standard input."),
    ] = None,
    destination: Annotated[
        DestinationName | None, typer.Option(help="Only what this destination would get.")
    ] = None,
    rehearsal: Rehearsal = False,
    as_json: Json = False,
) -> None:
    """Show what is read from an event and why, and what each destination would get."""
    if event_id is None and file is None:
        raise WrongUseError(
            "name an event by an id, or events by --file FILE (- is standard input)"
        )
    if event_id is not None and file is not None:
        raise WrongUseError("an id and --file exclude each other: leave one of them out")
    if event_id is not None and not event_id.strip():
        raise WrongUseError("the id is empty: name a row, an event, an order or a lead")
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
    with open_installation(settings, rehearsal=rehearsal or None) as installation:
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
            f"there is no event in {_said(name)}{why}: write one JSON object a line"
        )
    answer = Explanation(tuple(events), more=more).as_json(rehearsal=rehearsal)
    return {**answer, "problems": [asdict(problem) for problem in problems]}


@contextmanager
def _records(name: str) -> Iterator[Iterable[Record | Problem]]:
    if name == _STANDARD_INPUT:
        yield read_stream(sys.stdin.buffer)
        return
    path = Path(name)
    if not path.is_file():
        raise ImportFileError(f"{_said(name)} is no file: name one that can be read, or -")
    with open_records(path) as file:
        yield file.records


def _said(name: str) -> str:
    return "standard input" if name == _STANDARD_INPUT else Path(name).name


def _chosen(made: Iterable[Made], only: DestinationName | None) -> list[Made]:
    return [each for each in made if only is None or each.name == only]
