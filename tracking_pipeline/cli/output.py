"""What the verbs share: common options, the two streams that people read, and how counts, states
and lengths of time are written.
"""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from tracking_pipeline.errors import ExplainedError

if TYPE_CHECKING:
    from rich.progress import Progress

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]
Rehearsal = Annotated[
    bool,
    typer.Option("--rehearsal", help="Use the embedded rehearsal database and the sandbox."),
]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_STATE_STYLES = {
    "ok": "green",
    "probing": "yellow",
    "throttled": "yellow",
    "paused": "red",
    "refused": "red",
    "unreachable": "yellow",
    "not_configured": "dim",
}


class CommandError(ExplainedError):
    """A verb could not do its work."""


def replaceable(path: Path | None) -> Path | None:
    """The callback of an option that names a file to write; a link is followed. What is there is
    replaced, which for root would be the machine's ``/dev/null``."""
    if path is None:
        return None
    try:
        mode = path.stat().st_mode
    except OSError:
        return path  # not there; whoever writes it says what else is wrong
    if not stat.S_ISREG(mode):
        raise typer.BadParameter(f"{path} is not a regular file: name another one")
    return path.resolve() if path.is_symlink() else path


def show(as_json: bool, found: dict[str, Any], in_words: Callable[[dict[str, Any]], None]) -> None:
    """Gives the answer: as one JSON object, or as ``in_words`` shows it to people."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    else:
        in_words(found)


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress]:
    """A bar that goes when the work is done; nothing where ``quiet`` or without a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    ) as progress:
        yield progress


def span(seconds: float | None) -> str:
    """A length of time in its largest fitting unit."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state.replace("_", " "), style=_STATE_STYLES.get(state, ""))


def count_text(count: int, style: str = "") -> Text:
    """A count in its colour; a zero is dim."""
    return Text(str(count), style=style if count else "dim")
