"""The platforms side by side: the part of "identity-differences.md" that is made from their tables.

python -m tracking_pipeline.identity.describe docs/identity-differences.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tracking_pipeline.identity.match_value import normalize
from tracking_pipeline.identity.platforms import PLATFORMS, KeyRule

HEADING = "## The platforms side by side"
_INTRODUCTION = """\
Made from the tables in `tracking_pipeline/identity/platforms.py`; `make docs` writes it anew. Keys
have Meta's names, or their platform's. *hashed*: the SHA-256 of the text is sent; *list*: several
values are.
"""
_EXAMPLES = """\
What is hashed, or sent as it is, where the platforms differ:
"""
_KEYS = tuple(dict.fromkeys(key for rules in PLATFORMS.values() for key in rules))
# (match key, value, country): what the platforms' own pages tell differently.
_SPELLINGS = (
    ("em", "J.Doe+news@Gmail.com", "US"),
    ("em", "J.Doe+news@Example.com", "US"),
    ("em", "Jane-Doe@Example.com", "US"),
    ("ph", "(650) 555-1212", "US"),
    ("ph", "+44 (0)844 412 4653", "GB"),
    ("fn", "Mary Ann", "US"),
    ("ln", "O'Neil", "US"),
    ("ct", "Saint-Étienne", "FR"),
    ("st", "California", "US"),
    ("zp", "94035-1234", "US"),
    ("zp", "1012 ab", "NL"),
    ("country", "United States", "US"),
    ("external_id", "USER 42", "US"),
)


def section() -> str:
    """The section as Markdown, with its heading."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f"{HEADING}\n"
    yield _INTRODUCTION
    yield from _table(
        ("key", *PLATFORMS),
        ((key, *(_told(rules.get(key)) for rules in PLATFORMS.values())) for key in _KEYS),
    )
    yield ""
    yield _EXAMPLES
    yield from _table(
        ("key", "country", "value", *PLATFORMS),
        (
            (key, country, f"`{value}`", *_texts(key, value, country))
            for key, value, country in _SPELLINGS
        ),
    )


def _told(rule: KeyRule | None) -> str:
    if rule is None:
        return ""
    return f"{'hashed' if rule.hashed else 'plain'}{', list' if rule.many else ''}"


def _texts(key: str, value: str, country: str) -> Iterator[str]:
    for platform in PLATFORMS:
        text = normalize(key, value, platform, country)
        yield "" if text is None else f"`{text}`"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    before = page.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    page.write_text(f"{before}\n\n{section()}", encoding="utf-8")
