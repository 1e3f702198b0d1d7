"""What a person is asked to agree to, and what was said of it.

How a payload names a statement is in ``events/consent_names.py``, what a statement says in
``events/consent_values.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Literal, TypeAlias

ConsentDefault: TypeAlias = Literal["granted", "unknown", "denied"]


class Purpose(Enum):
    """What a person is asked to agree to. The first three are what an ad platform needs; the words
    are those of Google's consent mode."""

    AD_STORAGE = "ad_storage"
    AD_USER_DATA = "ad_user_data"
    AD_PERSONALIZATION = "ad_personalization"
    ANALYTICS_STORAGE = "analytics_storage"


class Said(Enum):
    """One statement about one purpose. AGREED: by agreeing to advertising, or to everything;
    GRANTED: in so many words."""

    GRANTED = "granted"
    AGREED = "agreed"
    DENIED = "denied"
    UNCLEAR = "unclear"


ADVERTISING = (Purpose.AD_STORAGE, Purpose.AD_USER_DATA, Purpose.AD_PERSONALIZATION)
EVERYTHING = tuple(Purpose)


def stricter(first: Said | None, second: Said) -> Said:
    """Of two statements about one purpose, the one that counts: a refusal before what is unclear,
    that before a grant."""
    for said in (Said.DENIED, Said.UNCLEAR, Said.GRANTED):
        if said in (first, second):
            return said
    return second


def stated_choices(said: Mapping[Purpose, Said], *, limited: bool = False) -> dict[Purpose, bool]:
    """What a platform with fields for it is told of the two consents that it asks for: granted
    (True) in so many words, or denied. What nobody said is never called granted, and a personal
    choice that nobody can read counts as denied. ``limited``: the use of the data was limited by
    another option or by the browser, so it is not for personalisation."""
    choices: dict[Purpose, bool] = {}
    for purpose in (Purpose.AD_USER_DATA, Purpose.AD_PERSONALIZATION):
        stated = said.get(purpose)
        if stated is Said.GRANTED:
            choices[purpose] = True
        elif stated in (Said.DENIED, Said.UNCLEAR):
            choices[purpose] = False
    if limited:
        choices[Purpose.AD_PERSONALIZATION] = False
    return choices
