"""Date of birth and gender, as Meta hashes them (Customer Information Parameters).

Dates: YYYYMMDD, 1900 to this year; impossible ones are dropped. Gender: `f` or `m`; anything else
is left out.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timezone

from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import fold

_FIRST_YEAR = 1900
# Countries that write the month first. Everywhere else 03/04/1990 is the third of April.
_MONTH_FIRST = frozenset({"US", "PR", "GU", "VI", "AS", "MP", "PH", "FM", "MH", "PW"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december", "sept",
)  # fmt: skip

_YEAR_FIRST = re.compile(r"(\d{4})([-/. ]?)(\d{1,2})\2(\d{1,2})(?:[T ][0-9:.,]+(?:Z|[+-][\d:]+)?)?")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})")
_COMPACT_YEAR_LAST = re.compile(r"(\d{2})(\d{2})(\d{4})")
_DAY_NAME_YEAR = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[\s.-]+(?:of )?([a-z]+)[\s.,-]+(\d{4})")
_NAME_DAY_YEAR = re.compile(r"([a-z]+)[\s.-]+(\d{1,2})(?:st|nd|rd|th)?[\s,.-]+(\d{4})")


# Year, month, day as somebody may have meant them.
_Reading = tuple[int, int, int]


def birth_date_for_meta(text: str, country: str) -> str | Refusal:
    """Gives YYYYMMDD, judged by today's date; `03/04/1990` is read as `country` writes dates."""
    return birth_date(text, country, datetime.now(timezone.utc).date())


def birth_date(text: str, country: str, today: date) -> str | Refusal:
    """Gives YYYYMMDD of a date from 1900 to `today`. Two-digit years are refused: 1926 or 2026?"""
    for year, month, day in _readings(text.lower(), month_first=country in _MONTH_FIRST):
        try:
            born = date(year, month, day)
        except ValueError:
            continue
        if born.year >= _FIRST_YEAR and born <= today:
            return born.strftime("%Y%m%d")
    return Refusal.INVALID_DATE


def _readings(text: str, *, month_first: bool) -> list[_Reading]:
    """Gives the ways to read a date, likeliest first."""
    readings: list[_Reading] = []
    match = _YEAR_FIRST.fullmatch(text.upper())
    if match:
        year, _, month, day = match.groups()
        readings.append((int(year), int(month), int(day)))
    match = _COMPACT_YEAR_LAST.fullmatch(text)
    if match:
        first, second, year = match.groups()
        readings += _numeric(int(first), int(second), int(year), month_first=month_first)
    match = _YEAR_LAST.fullmatch(text)
    if match:
        first, separator, second, year = match.groups()
        # Dots are a European habit; nobody writes the month first with them.
        month_leads = month_first and separator != "."
        readings += _numeric(int(first), int(second), int(year), month_first=month_leads)
    match = _DAY_NAME_YEAR.fullmatch(text)
    if match and (month_number := _month(match.group(2))):
        readings.append((int(match.group(3)), month_number, int(match.group(1))))
    match = _NAME_DAY_YEAR.fullmatch(text)
    if match and (month_number := _month(match.group(1))):
        readings.append((int(match.group(3)), month_number, int(match.group(2))))
    return readings


def _numeric(first: int, second: int, year: int, *, month_first: bool) -> list[_Reading]:
    """Reads two numbers as day and month; the other order counts where the usual one is no date."""
    usual, other = (year, first, second), (year, second, first)
    return [usual, other] if month_first else [other, usual]


def _month(name: str) -> int | None:
    known = name in _MONTHS or name in _MONTH_NAMES
    return _MONTHS.index(name[:3]) + 1 if known else None


_FEMALE = (
    "f female fem woman girl w weiblich frau femme feminin femenino femenina mujer feminino "
    "feminina mulher femminile femmina donna vrouw vrouwelijk kobieta kvinna kvinde kvinne ж "
    "женский женщина жен 女 女性 여 여성 여자"
)
_MALE = (
    "m male man boy mannlich mann homme masculin masculino hombre homem maschile maschio uomo "
    "mannelijk mezczyzna м мужской мужчина муж 男 男性 남 남성 남자"
)
_LETTER_BY_WORD = {
    **{fold(word): "f" for word in _FEMALE.split()},
    **{fold(word): "m" for word in _MALE.split()},
}


def gender_for_meta(text: str, country: str) -> str | Refusal:
    """Gives `f` or `m` for a word of a common language. `country` plays no part."""
    return _LETTER_BY_WORD.get(fold(text), Refusal.NOT_A_GENDER)
