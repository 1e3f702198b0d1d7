"""Amounts and currencies as shops, forms and tables write them.

``"$1,299.00"``, ``"1.299,00 €"``, ``"CHF 10"``, ``"1'299.50"``, ``{"amount": "19.90", "currency":
"EUR"}``. What is there and cannot be read is ``UNREADABLE``, which is not the same as absent.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from tracking_pipeline.identity.placeholders import is_placeholder


class Unreadable:
    """There is a value, and nobody can say which."""

    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE: Final = Unreadable()

_SYMBOLS = {
    "€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS", "฿": "THB",
    "₫": "VND", "₴": "UAH", "₦": "NGN", "₱": "PHP", "zł": "PLN", "kč": "CZK", "ft": "HUF",
    "лв": "BGN", "lei": "RON", "us$": "USD", "c$": "CAD", "ca$": "CAD", "cad$": "CAD", "a$": "AUD",
    "au$": "AUD", "nz$": "NZD", "hk$": "HKD", "s$": "SGD", "sg$": "SGD", "mx$": "MXN", "r$": "BRL",
    "euro": "EUR", "euros": "EUR", "usd$": "USD", "nt$": "TWD", "rs.": "INR", "rs": "INR",
    "chf.": "CHF", "fr.": "CHF", "eur.": "EUR", "руб": "RUB", "руб.": "RUB", "₸": "KZT", "₡": "CRC",
    "₵": "GHS", "₲": "PYG", "₼": "AZN", "₾": "GEL", "s/": "PEN", "s/.": "PEN", "usd": "USD",
    "rp": "IDR", "rp.": "IDR", "tl": "TRY", "лв.": "BGN",
}  # fmt: skip
# Of these, several countries make use.
_SHARED = {
    "$": frozenset(
        "USD CAD AUD NZD HKD SGD MXN ARS CLP COP TWD BBD BSD BMD JMD TTD XCD FJD UYU".split()
    ),
    "¥": frozenset(("JPY", "CNY")),
    "￥": frozenset(("JPY", "CNY")),
    "円": frozenset(("JPY",)),
    "元": frozenset(("CNY", "TWD")),
    "kr": frozenset(("SEK", "NOK", "DKK", "ISK")),
    "kr.": frozenset(("DKK", "SEK", "NOK", "ISK")),
    ",-": frozenset(("EUR", "CHF", "NOK", "SEK", "DKK")),
    ".-": frozenset(("CHF", "EUR")),
    "–": frozenset(("EUR", "CHF")),
}
_CODE = re.compile("[A-Z]{3}")
_SPACES = re.compile(r"[\s\u00a0\u202f\u2009\u2007]+")
_AMOUNT_TEXT = re.compile(
    r"(?P<before>[^\d\-+\u2212(.,]*(?:(?<=[^\W\d_])\.)?)(?P<open>\()?(?P<sign>[-+\u2212])?"
    r"(?P<between>[^\d\-+\u2212(.,]*)"
    r"(?P<digits>\.?\d[\d.,'\u2019 ]*?)(?P<exponent>[eE][+-]?\d{1,3})?(?P<close>\))?"
    r"(?P<after>\s*[^\d(]*)"
)
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_LONGEST_AMOUNT = 60
_GROUPED = {
    ",": re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?"),
    ".": re.compile(r"\d{1,3}(?:\.\d{3})*\.\d{3}(?:,\d*)?"),
    "'": re.compile(r"\d{1,3}(?:'\d{3})+(?:[.,]\d*)?"),
    " ": re.compile(r"\d{1,3}(?: \d{3})+(?:[.,]\d*)?"),
}
_COMMA_DECIMALS = re.compile(r"\d+,\d{1,2}")
_POINT_DECIMALS = re.compile(r"\d*\.?\d*")
_AMOUNT_NAMES = ("amount", "value", "price", "total", "presentment_money", "shop_money", "gross")
# Minor units say how many of their digits are a fraction (Dinero.js, commercetools, ISO 4217).
_FRACTION_NAMES = ("precision", "scale", "fractionDigits", "fraction_digits", "exponent")
_MINOR_AMOUNT_NAMES = ("preciseAmount", "centAmount")
_MOST_FRACTION_DIGITS = 20
_CURRENCY_NAMES = ("currency", "currency_code", "currencyCode", "currencycode", "code")


class Money(NamedTuple):
    """``currency`` is set where the amount names it itself; ``shared`` are the currencies that its
    sign may mean, empty where it has none or a clear one."""

    amount: float
    currency: str | None = None
    shared: frozenset[str] = frozenset()


def read_amount(value: Any) -> Money | Unreadable | None:
    """The amount a value says; None where it says nothing (null, blank, a word for nothing)."""
    kind = type(value)
    if kind is float or kind is int:
        return _finite(value)
    if value is None:
        return None
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, Mapping):
        return _of_object(value) if value else None
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], list):
        return read_amount(value[0])
    return UNREADABLE


def _finite(value: float) -> Money | Unreadable:
    if type(value) is float and math.isfinite(value):
        return Money(value)
    try:
        amount = float(value)
    except OverflowError:
        return UNREADABLE
    return Money(amount) if math.isfinite(amount) else UNREADABLE


_NOTHING = frozenset(("null", "undefined", "none", "n/a", "nil", "(not set)", "-", "--", ""))


def _of_text(text: str) -> Money | Unreadable | None:
    stripped = text.strip()
    if stripped.lower() in _NOTHING:
        return None
    if _PLAIN.fullmatch(stripped) and len(stripped) <= _LONGEST_AMOUNT:
        return _decimal(stripped)
    return _of_written_amount(stripped)


def _of_written_amount(stripped: str) -> Money | Unreadable:
    """An amount as people write it, with signs, codes and groups of digits."""
    if len(stripped) > _LONGEST_AMOUNT:
        return UNREADABLE
    stripped = html.unescape(stripped)
    found = _AMOUNT_TEXT.fullmatch(_SPACES.sub(" ", stripped).replace("\u2019", "'"))
    if found is None or bool(found["open"]) != bool(found["close"]):
        return UNREADABLE
    signs = [found[name].strip() for name in ("before", "between", "after")]
    named = [sign for sign in signs if sign]
    digits = found["digits"].strip()
    if len(named) > 1:
        return _with_two_signs(named, digits, found)
    readable = not named or _is_sign(named[0])
    amount = _ungrouped(digits, of_people=bool(named)) if readable else None
    number = UNREADABLE if amount is None else _decimal(amount + (found["exponent"] or ""))
    if not isinstance(number, Money):
        return UNREADABLE
    value = -number.amount if found["sign"] in ("-", "\u2212") or found["open"] else number.amount
    if not named:
        return Money(value)
    return Money(value, _named_currency(named[0]), _SHARED.get(named[0].lower(), frozenset()))


def _with_two_signs(named: list[str], digits: str, found: re.Match[str]) -> Money | Unreadable:
    """``$10.00 USD``: the sign and the code must go together."""
    currencies = {code for sign in named if (code := _named_currency(sign))}
    if len(currencies) != 1 or not all(map(_is_sign, named)):
        return UNREADABLE
    currency = currencies.pop()
    for sign in named:
        shared = _SHARED.get(sign.lower())
        if shared is not None and currency not in shared:
            return UNREADABLE
    amount = _ungrouped(digits, of_people=True)
    number = UNREADABLE if amount is None else _decimal(amount)
    if not isinstance(number, Money):
        return UNREADABLE
    negative = found["sign"] in ("-", "\u2212") or found["open"]
    return Money(-number.amount if negative else number.amount, currency)


def _is_sign(sign: str) -> bool:
    return sign.lower() in _SHARED or _named_currency(sign) is not None


def _named_currency(sign: str) -> str | None:
    lowered = sign.lower()
    if lowered in _SYMBOLS:
        return _SYMBOLS[lowered]
    upper = sign.upper()
    return upper if _CODE.fullmatch(upper) else None


def _ungrouped(digits: str, *, of_people: bool) -> str | None:
    """Digits with at most a decimal point. ``of_people``: a currency stands beside them, so they
    were written for people, who group thousands; ``1.299`` alone is a number of a program."""
    digits = digits.rstrip()
    if digits.endswith((",", ".")):
        digits = digits[:-1]
    for separator, pattern in _GROUPED.items():
        if separator == "." and not of_people and digits.count(".") == 1 and "," not in digits:
            continue
        if separator in digits and pattern.fullmatch(digits):
            ungrouped = digits.replace(separator, "")
            return ungrouped.replace(",", ".")
    if _COMMA_DECIMALS.fullmatch(digits):
        return digits.replace(",", ".")
    return digits if _POINT_DECIMALS.fullmatch(digits) and digits != "." else None


def _decimal(text: str) -> Money | Unreadable:
    try:
        amount = float(Decimal(text))
    except (InvalidOperation, OverflowError, ValueError):
        return UNREADABLE
    return Money(amount) if math.isfinite(amount) else UNREADABLE


def _of_object(value: Mapping[Any, Any]) -> Money | Unreadable | None:
    """A money object: an amount beside its currency, whole units and nanos, or one within another
    (Shopify's ``shop_money``)."""
    if "units" in value or "nanos" in value:
        units, nanos = read_amount(value.get("units", 0)), read_amount(value.get("nanos", 0))
        if isinstance(units, Money) and isinstance(nanos, Money):
            amount: Money | Unreadable | None = Money(units.amount + nanos.amount / 1e9)
        else:
            return UNREADABLE
    else:
        digits = next(
            (value[name] for name in _FRACTION_NAMES if value.get(name) is not None), None
        )
        names = _AMOUNT_NAMES if digits is None else (*_MINOR_AMOUNT_NAMES, *_AMOUNT_NAMES)
        inner = next((value[name] for name in names if value.get(name) is not None), None)
        if inner is None:
            return UNREADABLE
        amount = read_amount(inner)
        if digits is not None and isinstance(amount, Money):
            amount = _of_minor_units(amount, digits)
    if not isinstance(amount, Money):
        return amount
    given = next((value[name] for name in _CURRENCY_NAMES if value.get(name) is not None), None)
    currency = read_currency(given)
    if isinstance(currency, Unreadable):
        return UNREADABLE
    return Money(amount.amount, currency or amount.currency, amount.shared)


def _of_minor_units(money: Money, digits: Any) -> Money | Unreadable:
    """An exponent may be written as that of the unit (2) or of the factor (-2)."""
    if type(digits) is not int or abs(digits) > _MOST_FRACTION_DIGITS:
        return UNREADABLE
    if not money.amount.is_integer():
        return UNREADABLE
    return money._replace(amount=money.amount / 10 ** abs(digits))


# ISO 4217; of the others a hundredth is the minor unit.
_FRACTION_DIGITS = {
    **dict.fromkeys(
        "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0
    ),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}


def read_minor_units(value: Any, currency: str | None) -> Money | Unreadable | None:
    """The amount that a whole number says in minor units of a currency, as payment services write
    one: 1990 of EUR is 19.90. What has a fraction was converted before."""
    amount = read_amount(value)
    if not isinstance(amount, Money) or not _is_whole(value):
        return amount
    if currency is None:
        return UNREADABLE
    return _of_minor_units(amount, _FRACTION_DIGITS.get(currency, 2))


def minor_units(amount: float, currency: str) -> int:
    """The amount in minor units of a currency, rounded as people do: 19.90 of EUR is 1990."""
    digits = _FRACTION_DIGITS.get(currency, 2)
    return int(Decimal(repr(amount)).scaleb(digits).to_integral_value(ROUND_HALF_UP))


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().isdecimal()
    return isinstance(value, (int, float)) and value == int(value)


_USUAL_CODES = frozenset(
    ("USD", "EUR", "GBP", "CAD", "AUD", "BRL", "MXN", "INR", "JPY", "CHF", "PLN")
)
_NO_CODES = frozenset(("NAN", "NIL", "XXX"))


def read_currency(value: Any) -> str | Unreadable | None:
    """The code (ISO 4217) a value names; None where it says nothing."""
    if isinstance(value, str):
        return _currency_of_text(value)
    if isinstance(value, Mapping):
        value = next((value[name] for name in (*_CURRENCY_NAMES, "iso") if name in value), value)
    if value is None or value == {}:
        return None
    return _currency_of_text(value) if isinstance(value, str) else UNREADABLE


def _currency_of_text(value: str) -> str | Unreadable | None:
    if value in _USUAL_CODES:
        return value
    text = value.strip()
    upper = text.upper()
    if _CODE.fullmatch(upper):
        return UNREADABLE if upper in _NO_CODES else upper
    if text.lower() in _NOTHING:
        return None
    return UNREADABLE if is_placeholder(text) else _SYMBOLS.get(text.lower(), UNREADABLE)
