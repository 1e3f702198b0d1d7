"""The deliberate differences as `docs/identity-differences.md` has them, one section a library."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tracking_pipeline.identity import normalize
from tracking_pipeline_tests.identity.spellings import SPELLINGS, Spelling

PAGE = Path(__file__).parents[2] / "docs" / "identity-differences.md"
_COUNTS = re.compile(r"(\d+) of (\d+) spellings agree\.")
_ROW = re.compile(r"\| (\w+) \| ([A-Z]{2}) \| `(.+?)` \| `(.+?)` \| `(.+?)` \| (.+) \|")


class Answers(NamedTuple):
    """What their library and ours make of one spelling; None: it raises, or the key is left out."""

    theirs: str | None
    ours: str | None


class Comparison(NamedTuple):
    """How many of how many spellings agree, and what becomes of each of the others."""

    agreed: int
    compared: int
    different: dict[Spelling, Answers]


def written_comparison(library: str) -> Comparison:
    """Read the section of a library. AssertionError for a row without all of its columns."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {library}\n")[1].split("\n## ")[0]
    counts = _COUNTS.search(section)
    assert counts
    different = {}
    for line in section.splitlines():
        if line.startswith("|") and not line.startswith(("| key", "|---")):
            row = _ROW.fullmatch(line)
            assert row, line
            key, country, *literals, _why = row.groups()
            value, theirs, ours = map(literal_eval, literals)
            different[Spelling(key, value, country)] = Answers(theirs, ours)
    return Comparison(int(counts[1]), int(counts[2]), different)


def made_comparison(platform: str, theirs: dict[str, Callable[[str], str | None]]) -> Comparison:
    """Compare ours with `theirs`, which gives what their library does with a value, by match key.

    What raises there gives None: it has no answer.
    """
    compared = [spelling for spelling in SPELLINGS if spelling.key in theirs]
    different = {}
    for spelling in compared:
        answers = Answers(
            _or_none(theirs[spelling.key], spelling.value),
            normalize(spelling.key, spelling.value, platform, spelling.country),
        )
        if answers.theirs != answers.ours:
            different[spelling] = answers
    return Comparison(len(compared) - len(different), len(compared), different)


def _or_none(library: Callable[[str], str | None], value: str) -> str | None:
    try:
        return library(value)
    except Exception:
        return None
