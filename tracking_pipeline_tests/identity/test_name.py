from __future__ import annotations

import pytest

from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.name import split_full_name

NAMES = [
    # typed, Meta, Google
    ("Mary", "mary", "mary"),
    ("  MARY  ", "mary", "mary"),
    ("Mary Ann", "maryann", "mary ann"),
    ("Mary\u00a0\u00a0Ann", "maryann", "mary ann"),
    ("Mary-Ann", "maryann", "maryann"),
    ("D'Arcy", "darcy", "darcy"),
    ("D\u2019Arcy", "darcy", "darcy"),
    ("D\u02bcArcy", "darcy", "darcy"),
    ("d`arcy", "darcy", "darcy"),
    ("O’Neil", "oneil", "oneil"),
    ("St. John", "stjohn", "st john"),
    ("Valéry", "valéry", "valéry"),
    ("Vale\u0301ry", "valéry", "valéry"),
    ("JOSÉ", "josé", "josé"),
    ("Müller", "müller", "müller"),
    ("Łukasz", "łukasz", "łukasz"),
    ("Ñandú", "ñandú", "ñandú"),
    ("Ğül", "ğül", "ğül"),
    ("Strauß", "strauß", "strauß"),
    ("Иван", "иван", "иван"),
    ("ИВАН", "иван", "иван"),
    ("Γιώργος", "γιώργος", "γιώργος"),
    ("정", "정", "정"),
    ("\u110c\u1165\u11bc", "정", "정"),
    ("山田", "山田", "山田"),
    ("प्रिया", "प्रिया", "प्रिया"),
    ("สมชาย", "สมชาย", "สมชาย"),
    ("محمد", "محمد", "محمد"),
    ("Mary 😀", "mary", "mary"),
    ("Mary ❤️", "mary", "mary"),
    ("ma\u200bry", "mary", "mary"),
    ("Mary (Ann)", "maryann", "mary ann"),
    ("J. R.", "jr", "j r"),
    ("Mary2", "mary2", "mary2"),
    ("van der Berg", "vanderberg", "van der berg"),
    ("Smith, Jr.", "smithjr", "smith"),
    ("Smith III", "smithiii", "smith"),
    ("Mrs. Mary", "mrsmary", "mary"),
    ("Dr Prof. Mary", "drprofmary", "mary"),
    ("Miss", "miss", "miss"),
    ("Md Rahim", "mdrahim", "md rahim"),
    ("Na", "na", "na"),
]


@pytest.mark.parametrize("key", ["fn", "ln"])
@pytest.mark.parametrize(("typed", "meta", "google"), NAMES)
def test_a_name_loses_case_and_punctuation_but_no_letter(
    key: str, typed: str, meta: str, google: str
) -> None:
    assert normalize(key, typed, "meta") == meta
    assert normalize(key, typed, "google") == google


@pytest.mark.parametrize("key", ["fn", "ln"])
@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize(
    "typed", ["", " ", ".", "-", "...", "'", "123", "٣", "😀", "null", "undefined", "N/A",
    "[removed]",
              "\u200b", "\u0301", 42, True, None, [], {}, ["Mary"], "x" * 5000, "\udc00"],
)  # fmt: skip
def test_what_has_no_letter_is_no_name(key: str, platform: str, typed: object) -> None:
    assert normalize(key, typed, platform) is None


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("Jane Doe", ("Jane", "Doe")),
        ("Jane  van Dyk", ("Jane", "van Dyk")),
        ("Doe, Jane", ("Jane", "Doe")),
        ("van Dyk, Jane Mary", ("Jane Mary", "van Dyk")),
        ("Mrs. Jane Doe", ("Jane", "Doe")),
        ("Jane Doe Jr.", ("Jane", "Doe")),
        ("Jane Doe, Jr.", ("Jane", "Doe")),
        ("Jane", None),
        ("", None),
        (",", None),
        ("Doe,", None),
    ],
)
def test_a_full_name_is_split_at_its_first_word_or_comma(
    typed: str, parts: tuple[str, str] | None
) -> None:
    assert split_full_name(typed) == parts
