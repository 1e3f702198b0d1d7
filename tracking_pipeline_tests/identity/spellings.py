"""What people and forms write: the inputs on which the platforms' own libraries are compared with
ours. The country is the default one, where a number is dialled and whose states are meant.
"""

from __future__ import annotations

from typing import NamedTuple


class Spelling(NamedTuple):
    """One value of one match key."""

    key: str
    value: str
    country: str


_AMERICAN: dict[str, tuple[str, ...]] = {
    "em": (
        "jane@example.com", " John_Smith@Gmail.com ", "j.doe+x@gmail.com", "J.Doe+x@Gmail.com",
        "j.doe@googlemail.com", "Jane.Doe@Example.CO.UK", "josé@müller.de", "o'neil@example.com",
        "jane-doe_1@sub.example.com", "JANE@EXAMPLE.COM", "jane%x@example.com", "\ufeffa@b.co",
        "a@b@c.com", "jane@example.com.", "n/a", "jane doe@example.com", "jane@example",
        "mailto:jane@example.com", "Jane Doe <jane@example.com>", ".jane@example.com",
        "jane@example..com", "jane@-example.com", "jane@10.0.0.1", "jane@example.com,",
    ),
    "ph": (
        "+1 (650) 555-1212", "1-650-555-1212", "+44 20 7946 0958", "0044 20 7946 0958",
        "4915112345678", "+49 151 12345678", "+33 6 12 34 56 78", "+16505551212", "16505551212",
        "+52 55 1234 5678", "+81 90 1234 5678", "+55 11 91234-5678", "(650) 555-1212",
        "6505551212", "650.555.1212", "650-555-1212 ext. 3", "+44 (0)20 7946 0958",
        "+1 650 555 1212 x3", "tel:+16505551212", "6505551212.0", "+1/650/555/1212", "123",
        "0000000000", "+1 555 555 5555", "1-800-FLOWERS", "+4915112345678 ", "eee" + "0" * 61,
    ),
    "fn": (
        "Mary", " Mary ", "MARY", "Valéry", "정", "Ólafur", "Vale\u0301ry", "D'Arcy", "Mary Ann",
        " Mary Ann ", "Jean-Luc", "Mrs. Jean-Luc", "J.", "Anna\u00a0Lena", "Mary1", "J.R.R.",
    ),
    "ln": (
        "Smith", "MÜLLER", "Иванов", "Nguyễn", "O’Neil", "O'Neil", "van der Berg", "Smith, Jr.",
        "Smith-Jones", "De la Cruz", "St. John", "李",
    ),
    "ct": (
        "Miami", "New York", "Saint-Étienne", "São Paulo", "St. Louis", "東京", "Zürich",
        "Frankfurt/Main", "29 Palms", "Winston-Salem", "Coeur d'Alene", "Washington, D.C.",
        "MENLO PARK",
    ),
    "st": (
        "CA", "ny", "California", "N.Y.", "new york", "Washington, D.C.", "Ontario", "Québec",
        "US-FL", "Puerto Rico",
    ),
    "zp": (
        "94035", "94035-1234", " 94035-1234 ", "94035 1234", "SW1A 1AA", "sw1a 1aa", "1012 AB",
        "K1A-0A6", "01310-100", "2139", "00000", "940351234",
    ),
    "country": (
        "US", " de ", "us", "gb", "U.S.", "DE", "UK", "USA", "Germany", "Deutschland", "DEU",
        "Côte d'Ivoire", "XX",
    ),
    "ge": ("F", "m", " f ", "M", "Female", "male", "Frau", "x", "unknown"),
    "db": ("19970216", "2/16/1997", "1997-02-16", "16.02.1997", "Feb 16, 1997", "2/30/1997"),
    "external_id": ("user-42", "42", "USER 42", "6F9619FF-8B86-D011-B42D-00CF4FC964FF", "0"),
}  # fmt: skip
_ABROAD = (
    Spelling("ph", "030 1234567", "DE"),
    Spelling("ph", "07400 123456", "GB"),
    Spelling("ph", "06 12 34 56 78", "FR"),
    Spelling("st", "Bayern", "DE"),
    Spelling("st", "NSW", "AU"),
    Spelling("zp", "80331", "DE"),
    Spelling("zp", "01310-100", "BR"),
    Spelling("zp", "00-950", "PL"),
    Spelling("db", "16/02/1997", "GB"),
)

SPELLINGS: tuple[Spelling, ...] = (
    *(Spelling(key, value, "US") for key, values in _AMERICAN.items() for value in values),
    *_ABROAD,
)
