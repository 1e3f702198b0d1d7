"""Which country or state a text names: ISO 3166-1 codes and names in common languages; states of
the US, Canada and Australia.

`data/countries.txt` holds, for each alpha-2 code, its alpha-3 code and its names (English, German,
French, Spanish, Italian, Portuguese, Dutch and the country's own languages, from Unicode CLDR and
ISO 3166-1, and the everyday aliases people type), folded by `text.fold`. `UK`, `EL` and `XK` are
not ISO codes; they are what people and the EU write.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from tracking_pipeline.identity.hashing import sha256_hex
from tracking_pipeline.identity.text import fold

_TABLE = Path(__file__).with_name("data") / "countries.txt"


@lru_cache(maxsize=1)
def names_by_code() -> dict[str, list[str]]:
    """Gives the folded names of each country, by its upper-case alpha-2 code."""
    lines = (line.split() for line in _TABLE.read_text(encoding="utf-8").splitlines())
    return {code: names for code, *names in lines}


@lru_cache(maxsize=1)
def _code_by_name() -> dict[str, str]:
    codes = {code.lower(): code for code in names_by_code()}
    for code, names in names_by_code().items():
        codes.update(dict.fromkeys(names, code))
    return codes


@lru_cache(maxsize=1)
def _code_by_hash() -> dict[str, str]:
    return {sha256_hex(code.lower()): code for code in names_by_code()}


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """Gives the upper-case ISO alpha-2 code of a country named by code or by name, else None.

    A SHA-256 hash of a lower-case alpha-2 code (what Meta's `country` holds) is recognised too:
    there are 250 of them, so a hashed payload still says how to read its phone numbers.
    """
    if len(text) == 64:
        return _code_by_hash().get(text.lower())
    folded = fold(text)
    codes = _code_by_name()
    return codes.get(folded) or codes.get(folded.removeprefix("the"))


# States of the US (with DC, territories, military addresses), provinces of Canada, states of
# Australia: their codes and full names.
#
# Codes are those of ANSI INCITS 38 / USPS, Canada Post and Australia Post. `data/subdivisions.csv`
# has, beside the full name, what people write for it, folded by `text.fold`: French for Canada, and
# the abbreviations that newspapers used before there were codes.

_FILE = Path(__file__).with_name("data") / "subdivisions.csv"
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
    with _FILE.open(encoding="utf-8", newline="") as file:
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
