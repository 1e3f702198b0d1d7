"""Which country a text names: ISO 3166-1 codes and names in common languages.

`data/countries.txt` holds, for each alpha-2 code, its alpha-3 code and its names (English, German,
French, Spanish, Italian, Portuguese, Dutch and the country's own languages, from Unicode CLDR and
ISO 3166-1, and the everyday aliases people type), folded by `text.fold`. `UK`, `EL` and `XK` are
not ISO codes; they are what people and the EU write.
"""

from __future__ import annotations

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
