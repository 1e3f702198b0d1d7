"""What the verbs share: their common options, and how an answer is given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import orjson
import typer

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Rehearsal = Annotated[
    bool,
    typer.Option("--rehearsal", help="Use the embedded rehearsal database and the sandbox."),
]


class CommandError(Exception):
    """A verb could not do its work, in one line."""


class WrongUseError(CommandError):
    """The arguments do not fit together or cannot be used; the line says what to write."""


def show(as_json: bool, found: dict[str, Any], in_words: Callable[[dict[str, Any]], None]) -> None:
    """Gives the answer: as one JSON object, or as ``in_words`` shows it to people."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
    else:
        in_words(found)
