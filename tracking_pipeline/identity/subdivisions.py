"""States of the US (with DC, territories, military addresses), provinces of Canada, states of
Australia: their codes and full names.

Codes are those of ANSI INCITS 38 / USPS, Canada Post and Australia Post. `data/subdivisions.csv`
has, beside the full name, what people write for it, folded by `text.fold`: French for Canada, and
the abbreviations that newspapers used before there were codes.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from tracking_pipeline.identity.text import fold

_TABLE = Path(__file__).with_name("data") / "subdivisions.csv"
# The codes of Australia mean other states elsewhere, so they are known in Australia alone.
_NORTH_AMERICA = ("US", "CA")


@lru_cache(maxsize=1)
def full_names() -> dict[tuple[str, str], str]:
    """Gives the full name by country and code; empty where it is not certain what to call it."""
    return {(row["country"], row["code"]): row["name"] for row in _rows()}


@lru_cache(maxsize=1)
def _codes() -> dict[tuple[str, str], str]:
    """Gives the code by country and folded name or code."""
    codes: dict[tuple[str, str], str] = {}
    for row in _rows():
        country, code = row["country"], row["code"]
        # ISO 3166-2 puts the country in front: US-CA, CA-ON.
        names = (code, country + code, row["name"])
        for name in (*map(fold, names), *row["also_written"].split()):
            if name:
                codes[country, name] = code
    return codes


def _rows() -> list[dict[str, str]]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def subdivision_code(text: str, country: str) -> str | None:
    """Gives the lower-case two-letter code of a state or province, in the US and Canada only.

    Both tables serve both countries, since a form with a default country gets neighbours too;
    no code or name stands in both. Elsewhere `CA` may be Cádiz, so there is no answer.
    """
    if country not in _NORTH_AMERICA:
        return None
    name = fold(text)
    code = _codes().get(("US", name)) or _codes().get(("CA", name))
    return code.lower() if code else None


def certain_state(text: str, country: str | None) -> tuple[str, str] | None:
    """Gives full name and code of the state that a name or a code names in that country.

    `country` is ISO alpha-2, upper-case. None where the country has no table here or does not have
    that state: elsewhere sources call the same region by names of several languages ("Bayern",
    "Bavaria"), so a name stays as it is and has no code.
    """
    if country is None:
        return None
    code = _codes().get((country, fold(text)))
    name = full_names().get((country, code)) if code else None
    return (name, code) if name and code else None
