"""The encoded strings in which consent managers write a person's choices.

One function a kind of string, pure, and none of them raises, whatever the text. Each gives the
purposes that the string states (of `ad_storage`, `ad_user_data`, `ad_personalization` and
`analytics_storage`; True granted, False denied), an empty dict where the string is well formed
and states nothing, and None where it cannot be read: another kind of text, cut short, or of a
version, section or letter that is not known here. Unreadable is not the same as nothing stated:
there may be a refusal in it, and what to do about that is the caller's decision.

What a plain `"denied"` or `{"marketing": false}` means is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

_AD_PURPOSES = ("ad_storage", "ad_user_data", "ad_personalization")

_GCS = re.compile(r"G1([01-])([01-])")
_GCS_ORDER = ("ad_storage", "analytics_storage")

_GCD = re.compile(r"1[0-9]" + r"([lmnpqrtuv])[0-9]" * 4 + r"(?:[A-Za-z][0-9])*")
_GCD_ORDER = ("ad_storage", "analytics_storage", "ad_user_data", "ad_personalization")
# The update wins over the default: m, q and u were denied by it; n, r and v were granted.
_GCD_DENIED, _GCD_GRANTED = frozenset("mpqu"), frozenset("nrtv")

_US_PRIVACY = re.compile(r"1[YyNn-]([YyNn-])[YyNn-]")

_SIX_BITS = {
    character: f"{value:06b}"
    for value, character in enumerate(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
}

# Bits before PurposesConsent: version, dates, CMP, language, vendor list and policy versions, ...
_TC_PURPOSES_AT = 152
_TC_PURPOSES = 24
_TC_BITS = re.compile(r"[01]{10,24}")

_GPP_TYPE, _GPP_VERSION = 3, 1
_SECTION_TCF_EU, _SECTION_US_PRIVACY = 2, 6
# Enough for section ids up to 33.
_FIBONACCI = (1, 2, 3, 5, 8, 13, 21)
_OPTED_OUT, _DID_NOT_OPT_OUT = 1, 2
_SUBSECTION_GPC = 1


class _UsLayout(NamedTuple):
    """The start of a US section: a version of six bits, then fields of two bits."""

    fields_before: int  # between the version and the first opt-out
    opt_outs: int  # SaleOptOut, SharingOptOut, TargetedAdvertisingOptOut: those that it has
    versions: tuple[int, ...] = (1,)
    has_gpc: bool = True  # False: its sub-section says something else
    has_header: bool = False


# Three fields about the MSPA come first. The specification, published for comment, puts a header
# before them; IAB Tech Lab's own library (iabgpp-es 3.2) writes none.
_MSPA_FIRST = _UsLayout(5, 2, has_header=True)

# Source: Global-Privacy-Platform, folder Sections, December 2025. Virginia, Utah and Florida
# define no GPC sub-section; one that stands there is still heeded.
_US_LAYOUTS = {
    7: _UsLayout(6, 3, versions=(1, 2)),  # national; version 2 grew behind the opt-outs
    # CA (sale and sharing), VA, CO, CT, FL, MT, OR, TX, DE, NE, NH, NJ, TN, MN
    **dict.fromkeys((8, 9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23), _UsLayout(3, 2)),
    **dict.fromkeys((11, 18), _UsLayout(4, 2)),  # UT, IA: one notice more, of sensitive data
    24: _MSPA_FIRST,  # MD
    **dict.fromkeys((25, 26, 27), _MSPA_FIRST._replace(has_gpc=False)),  # IN, KY, RI
}


def read_gcs(text: str) -> dict[str, bool] | None:
    """Reads Google's `gcs`: `G1`, then ad_storage and analytics_storage (`-`: not stated).

    Source: pietromingotti.com/consent-mode-parameters; we found no page of Google's about it.
    """
    match = _GCS.fullmatch(text)
    if match is None:
        return None
    states = zip(_GCS_ORDER, match.groups(), strict=True)
    return {purpose: state == "1" for purpose, state in states if state != "-"}


def read_gcd(text: str) -> dict[str, bool] | None:
    """Reads Google's `gcd`, as in `13r3r3r2r5l1`: a letter a purpose, the digits mean nothing here.

    A letter that is not in the published table (`R` is seen) makes the string unreadable. Pairs
    after the fourth are of purposes that nobody has described. Source: as for `read_gcs`, and
    simoahava.com/analytics/consent-mode-v2-google-tags, which others copy.
    """
    match = _GCD.fullmatch(text)
    if match is None:
        return None
    states = zip(_GCD_ORDER, match.groups(), strict=True)
    stated = _GCD_DENIED | _GCD_GRANTED
    return {purpose: letter in _GCD_GRANTED for purpose, letter in states if letter in stated}


def read_tc_string(text: str) -> dict[str, bool] | None:
    """Reads an IAB Europe TC string of version 2.x; it always states all four purposes.

    The ad purposes follow Google's own mapping
    (developers.google.com/tag-platform/security/guides/implement-TCF-strings): purpose 1 for
    ad_storage, 1 and 7 for ad_user_data, 3 and 4 for ad_personalization. That page maps nothing to
    analytics_storage; here it takes purpose 1 and one of 8 (measure content), 9 (know the audience)
    and 10 (improve the service). Purposes 7 to 10 may rest on legitimate interest; 1, 3 and 4 take
    consent.

    Only the purposes are read, not which vendors were allowed. Fails closed where the publisher
    did not ask for purpose 1 (PurposeOneTreatment): its bit is 0, which reads as denied.
    """
    if not text.startswith("C"):  # the version, 2, is the first character
        return None
    try:
        core = _Bits(text.partition(".")[0])
        core.skip(_TC_PURPOSES_AT)
        consent, interest = core.take_flags(_TC_PURPOSES), core.take_flags(_TC_PURPOSES)
        core.skip(13)  # PurposeOneTreatment, PublisherCC
        # Nothing in the vendor lists is used. That they fit tells a TC string from a long word
        # that starts with C, and a whole one from one that was cut.
        _skip_vendors(core)
        _skip_vendors(core)
    except ValueError:
        return None
    return of_tc_purposes(consent, interest)


def of_tc_purposes(
    consent: Collection[int], interest: Collection[int] = frozenset()
) -> dict[str, bool]:
    """What the Framework's purposes say of Google's; see :func:`read_tc_string`."""
    consent, either = frozenset(consent), frozenset((*consent, *interest))
    return {
        "ad_storage": 1 in consent,
        "ad_user_data": 1 in consent and 7 in either,
        "ad_personalization": {3, 4} <= consent,
        "analytics_storage": 1 in consent and not either.isdisjoint({8, 9, 10}),
    }


def read_tc_bits(text: str) -> dict[str, bool] | None:
    """Reads the purposes of ``IABTCF_PurposeConsents``: one digit for each, as a device keeps them.

    Source: github.com/InteractiveAdvertisingBureau/GDPR-Transparency-and-Consent-Framework,
    ``TCFv2/IAB Tech Lab - CMP API v2.md``, in-app details.
    """
    if _TC_BITS.fullmatch(text) is None:
        return None
    return of_tc_purposes([number for number, bit in enumerate(text, 1) if bit == "1"])


def read_us_privacy(text: str) -> dict[str, bool] | None:
    """Reads an IAB US Privacy string (`1YNN`): the third character says "opted out of sale".

    Source: github.com/InteractiveAdvertisingBureau/USPrivacy, `CCPA/US Privacy String.md`.
    """
    match = _US_PRIVACY.fullmatch(text)
    if match is None:
        return None
    if match[1] == "-":
        return {}
    return dict.fromkeys(_AD_PURPOSES, match[1] in "Nn")


def read_gpp(text: str) -> dict[str, bool] | None:
    """Reads an IAB GPP string: a header with the section ids, and the sections, `~` between.

    A refusal in one section outweighs a grant in another: which law applies is said outside the
    string (`gpp_sid`). One section that cannot be read makes the whole unreadable, for there may
    be a refusal in it; Canada's (5) is such a one, as nobody has mapped its express and implied
    consent to these purposes. Source: Global-Privacy-Platform, `Core/Consent String
    Specification.md`.
    """
    if not text.startswith("D"):  # the type, 3, is the first character
        return None
    header, *sections = text.split("~")
    stated: dict[str, bool] = {}
    try:
        for section_id, section in zip(_section_ids(_Bits(header)), sections, strict=True):
            reading = _read_section(section_id, section)
            if reading is None:
                return None
            for purpose, granted in reading.items():
                stated[purpose] = granted and stated.get(purpose, True)
    except ValueError:
        return None
    return stated


class _Bits:
    """The bits of one encoded part, taken in order; ValueError where it is no such text or ends."""

    def __init__(self, text: str) -> None:
        if not _SIX_BITS.keys() >= set(text):
            raise ValueError("not encoded in base64url")
        self._bits = "".join(map(_SIX_BITS.__getitem__, text))
        self._at = 0

    def skip(self, width: int) -> None:
        self._at += width
        if self._at > len(self._bits):
            raise ValueError("cut short")

    def take(self, width: int) -> int:
        start = self._at
        self.skip(width)
        return int(self._bits[start : self._at], 2)

    def take_flags(self, width: int) -> frozenset[int]:
        """Gives the numbers, from 1, of the bits that are set."""
        return frozenset(number for number in range(1, width + 1) if self.take(1))

    def take_fibonacci(self) -> int:
        """Gives a number in Fibonacci coding, which ends with two ones."""
        total = previous = 0
        for number in (*_FIBONACCI, 0):
            bit = self.take(1)
            if bit and previous:
                return total
            total += bit * number
            previous = bit
        raise ValueError("past the last section")


def _skip_vendors(core: _Bits) -> None:
    last_vendor, is_ranges = core.take(16), core.take(1)
    if not is_ranges:
        core.skip(last_vendor)
        return
    for _ in range(core.take(12)):
        core.skip(32 if core.take(1) else 16)


def _section_ids(header: _Bits) -> list[int]:
    if header.take(6) != _GPP_TYPE or header.take(6) != _GPP_VERSION:
        raise ValueError("not a GPP string of version 1")
    ids: list[int] = []
    last = 0
    for _ in range(header.take(12)):
        is_range = header.take(1)
        first = last + header.take_fibonacci()
        last = first + header.take_fibonacci() if is_range else first
        ids.extend(range(first, last + 1))
    return ids


def _read_section(section_id: int, text: str) -> dict[str, bool] | None:
    if section_id == _SECTION_TCF_EU:
        return read_tc_string(text)
    if section_id == _SECTION_US_PRIVACY:
        return read_us_privacy(text)
    if section_id in _US_LAYOUTS:
        return _read_us_section(section_id, text)
    return None


def _read_us_section(section_id: int, text: str) -> dict[str, bool]:
    layout = _US_LAYOUTS[section_id]
    core, *subsections = map(_Bits, text.split("."))
    version = core.take(6)
    if layout.has_header and version == section_id:
        version = core.take(6)
        core, *subsections = subsections
        core.skip(6)  # MspaVersion
    if version not in layout.versions:
        raise ValueError("unknown version")
    core.skip(2 * layout.fields_before)
    choices = {core.take(2) for _ in range(layout.opt_outs)}
    if not choices <= {0, _OPTED_OUT, _DID_NOT_OPT_OUT}:
        raise ValueError("undefined choice")
    if layout.has_gpc and any(
        part.take(2) == _SUBSECTION_GPC and part.take(1) for part in subsections
    ):
        choices.add(_OPTED_OUT)
    if _OPTED_OUT in choices:
        return dict.fromkeys(_AD_PURPOSES, False)
    return dict.fromkeys(_AD_PURPOSES, True) if _DID_NOT_OPT_OUT in choices else {}
