"""Valid telephone numbers, told from plain digits.

`phonenumbers` parses anything and takes some 100 microseconds for it. Most numbers arrive as
digits with a little punctuation, and for those its metadata answers directly. The steps are the
library's own, in its order; where it would do more than these steps there is no answer here and
the library is asked, so the two never disagree (the tests compare them over every region).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import phonenumbers

# The kinds of line that make the library call a number valid.
_KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number", "voip",
    "pager", "uan", "voicemail",
)  # fmt: skip
_LONGEST_CALLING_CODE = 3


class _NumberingPlan(NamedTuple):
    """How one region numbers its lines.

    `valid` matches whole national numbers, `lengths` are theirs. `leading` matches
    the beginning of those that are the region's, where several share a calling code. `prefix` is
    what people dial before a national number; where it `rewrites`, it does more than go away.
    `exit` dials abroad. `before` is either of the two, for most numbers have neither.
    """

    code: str
    lengths: frozenset[int]
    valid: re.Pattern[str]
    leading: re.Pattern[str] | None
    prefix: re.Pattern[str] | None
    rewrites: bool
    exit: re.Pattern[str] | None
    before: re.Pattern[str] | None


def international_digits(digits: str) -> str | None:
    """Gives calling code and national number of a valid number dialled with both, else None."""
    for length in range(1, _LONGEST_CALLING_CODE + 1):
        plans = _plans_of(digits[:length])
        if plans:
            # The first region of a calling code is the one whose habits the library assumes.
            return _if_valid(digits[:length], _without_prefix(digits[length:], plans[0]))
    return None


def national_digits(digits: str, region: str) -> str | None:
    """Gives calling code and national number of a valid number as dialled in `region`, or None."""
    plan = _plan_of(region)
    if plan is None:
        return None
    if plan.before is None or not plan.before.match(digits):
        national: str | None = digits
    elif plan.exit is not None and plan.exit.match(digits):
        return None
    else:
        national = _without_prefix(digits, plan)
    if digits.startswith(plan.code) and national != digits[len(plan.code) :]:
        # Its own calling code in front or the first digits of a local number: not for us to say.
        return None
    return _if_valid(plan.code, national)


def _without_prefix(digits: str, plan: _NumberingPlan) -> str | None:
    match = plan.prefix.match(digits) if plan.prefix is not None else None
    if match is None:
        return digits
    if plan.rewrites and match.lastindex:
        return None
    rest = digits[match.end() :]
    # What is too short without it keeps it: the first digit is then part of the number.
    return rest if len(rest) in plan.lengths else None


def _if_valid(code: str, national: str | None) -> str | None:
    if national is None:
        return None
    for plan in _plans_of(code):
        if plan.leading is None:
            if plan.valid.fullmatch(national):
                return code + national
        elif plan.leading.match(national):
            return code + national if plan.valid.fullmatch(national) else None
    return None


@lru_cache(maxsize=2048)
def _plans_of(code: str) -> tuple[_NumberingPlan, ...]:
    """Gives the plans of a calling code's regions; none for codes that belong to no region."""
    regions = phonenumbers.region_codes_for_country_code(int(code)) if code.isdigit() else ()
    return tuple(plan for plan in map(_plan_of, regions) if plan is not None)


@lru_cache(maxsize=512)
def _plan_of(region: str) -> _NumberingPlan | None:
    if region not in phonenumbers.SUPPORTED_REGIONS:
        return None
    metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(region)
    kinds = (getattr(metadata, kind) for kind in _KINDS)
    patterns = [kind.national_number_pattern for kind in kinds if kind is not None]
    general = metadata.general_desc.national_number_pattern
    prefixes = (metadata.international_prefix, metadata.national_prefix_for_parsing)
    before = "|".join(f"(?:{prefix})" for prefix in prefixes if prefix)
    one_kind = "|".join(f"(?:{pattern})" for pattern in patterns if pattern)
    return _NumberingPlan(
        code=str(metadata.country_code),
        lengths=frozenset(metadata.general_desc.possible_length),
        valid=re.compile(rf"(?=(?:{general})\Z)(?:{one_kind})"),
        leading=_compiled(metadata.leading_digits),
        prefix=_compiled(metadata.national_prefix_for_parsing),
        rewrites=bool(metadata.national_prefix_transform_rule),
        exit=_compiled(metadata.international_prefix),
        before=_compiled(before),
    )


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return re.compile(pattern) if pattern else None
