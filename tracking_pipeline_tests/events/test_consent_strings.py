from __future__ import annotations

import time
from collections.abc import Callable, Set

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracking_pipeline.events.consent_strings import (
    read_gcd,
    read_gcs,
    read_gpp,
    read_tc_string,
    read_us_privacy,
)

READERS = [read_gcs, read_gcd, read_tc_string, read_us_privacy, read_gpp]

AD_GRANTED = {"ad_storage": True, "ad_user_data": True, "ad_personalization": True}
AD_DENIED = {"ad_storage": False, "ad_user_data": False, "ad_personalization": False}
ALL_DENIED = {**AD_DENIED, "analytics_storage": False}

# From the specifications: Global-Privacy-Platform, and the TCF string format of IAB Europe.
TC_DENIED = "CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA"
TC_PURPOSE_ONE = "CO5VTlWO5VTlWH1AAAENAwCwAIAAAAAAAIAAAAoAAAAA.YAAAAAAAAAA"
# From the tests of IAB Tech Lab's iabgpp-es: purposes 1, 3, 4, 5, 6 by consent; vendors in ranges.
TC_NO_MEASUREMENT = (
    "CPTtLAAPTtLAAAKAAAENAAFgALwAAEAAAAAAAOgAgABgAAAA.IAoAAgABgAAEAQAAEAAA.d4AACEAAAAAA"
)
TC_EVERYTHING = "COv_eg6Ov_eg6AOADBENAaCgAP_AAH_AACiQAVEUQQoAIQAqIoghAAQgAA.YAAAAAAAAAAAAAAAAAA"

# Section id -> two-bit fields between the version and SaleOptOut, and the names of the opt-outs.
SALE_AND_TARGETED = ("SaleOptOut", "TargetedAdvertisingOptOut")
US_SECTIONS: dict[int, tuple[int, tuple[str, ...]]] = {
    7: (6, ("SaleOptOut", "SharingOptOut", "TargetedAdvertisingOptOut")),
    8: (3, ("SaleOptOut", "SharingOptOut")),
    9: (3, SALE_AND_TARGETED),
    10: (3, SALE_AND_TARGETED),
    11: (4, SALE_AND_TARGETED),
    12: (3, SALE_AND_TARGETED),
    13: (3, SALE_AND_TARGETED),
    14: (3, SALE_AND_TARGETED),
    15: (3, SALE_AND_TARGETED),
    16: (3, SALE_AND_TARGETED),
    17: (3, SALE_AND_TARGETED),
    18: (4, SALE_AND_TARGETED),
    19: (3, SALE_AND_TARGETED),
    20: (3, SALE_AND_TARGETED),
    21: (3, SALE_AND_TARGETED),
    22: (3, SALE_AND_TARGETED),
    23: (3, SALE_AND_TARGETED),
    24: (5, SALE_AND_TARGETED),
    25: (5, SALE_AND_TARGETED),
    26: (5, SALE_AND_TARGETED),
    27: (5, SALE_AND_TARGETED),
}
WITH_HEADER = (24, 25, 26, 27)
GPC_SET, GPC_NOT_SET = "YA", "QA"


def encoded(bits: str) -> str:
    """Encode bits as the IAB does: six a character, zeros at the end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    padded = bits + "0" * (-len(bits) % 6)
    return "".join(alphabet[int(padded[at : at + 6], 2)] for at in range(0, len(padded), 6))


def fibonacci(number: int) -> str:
    series = [1, 2]
    while series[-1] <= number:
        series.append(series[-1] + series[-2])
    digits = ""
    for term in reversed(series[:-1]):
        digits = ("1" if term <= number else "0") + digits
        number -= term if term <= number else 0
    return digits + "1"


def gpp(sections: dict[int, str]) -> str:
    bits, last = f"{3:06b}{1:06b}{len(sections):012b}", 0
    for section_id in sections:
        bits += "0" + fibonacci(section_id - last)
        last = section_id
    return "~".join([encoded(bits), *sections.values()])


def tc_string(consent: Set[int], interest: Set[int] = frozenset()) -> str:
    def flags(numbers: Set[int]) -> str:
        return "".join("1" if number in numbers else "0" for number in range(1, 25))

    # Every bit around the purposes is set, so that a shift by one shows.
    head = f"{2:06b}" + "1" * 146
    one_vendor_range = f"{755:016b}1{1:012b}1{1:016b}{755:016b}"
    three_vendors = f"{3:016b}0101"
    tail = "1" * 13 + one_vendor_range + three_vendors + "0" * 12
    return encoded(head + flags(consent) + flags(interest) + tail)


def us_section(section_id: int, choices: dict[str, int], *, version: int = 1) -> str:
    """Encode a core part in which every field that is no opt-out is 1."""
    before, names = US_SECTIONS[section_id]
    values = [1] * before + [choices.get(name, 0) for name in names] + [1] * 12
    return encoded(f"{version:06b}" + "".join(f"{value:02b}" for value in values))


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("G100", {"ad_storage": False, "analytics_storage": False}),
        ("G110", {"ad_storage": True, "analytics_storage": False}),
        ("G101", {"ad_storage": False, "analytics_storage": True}),
        ("G111", {"ad_storage": True, "analytics_storage": True}),
        ("G1-0", {"analytics_storage": False}),
        ("G11-", {"ad_storage": True}),
        ("G1--", {}),
    ],
)
def test_gcs_states_ad_and_analytics_storage(text: str, stated: dict[str, bool]) -> None:
    assert read_gcs(text) == stated


@pytest.mark.parametrize("text", ["", "G", "G1", "G11", "G1111", "G112", "G211", "g111", "G111\n"])
def test_other_text_is_no_gcs(text: str) -> None:
    assert read_gcs(text) is None


@pytest.mark.parametrize("letter", ["t", "r", "n", "v"])
def test_gcd_letters_of_a_grant(letter: str) -> None:
    text = f"11{letter}1{letter}1{letter}1{letter}5"
    assert read_gcd(text) == {**AD_GRANTED, "analytics_storage": True}


@pytest.mark.parametrize("letter", ["p", "q", "m", "u"])
def test_gcd_letters_of_a_refusal(letter: str) -> None:
    assert read_gcd(f"13{letter}3{letter}3{letter}2{letter}5l1") == ALL_DENIED


def test_gcd_has_its_purposes_in_googles_order_and_leaves_out_what_is_not_set() -> None:
    assert read_gcd("13r3p3l2q5l1") == {
        "ad_storage": True,
        "analytics_storage": False,
        "ad_personalization": False,
    }
    assert read_gcd("13l3l3u3l1l1") == {"ad_user_data": False}
    assert read_gcd("13l3l3l3l1l1") == {}


@pytest.mark.parametrize(
    "text", ["", "11t1t1t1", "11t1t1t1t", "21t1t1t1t5", "11T1t1t1t5", "13l3l3R3l5l1", "11t1t1t1t5 "]
)
def test_a_gcd_that_is_cut_or_has_an_unknown_letter_is_unreadable(text: str) -> None:
    assert read_gcd(text) is None


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (TC_DENIED, ALL_DENIED),
        (TC_PURPOSE_ONE, {**ALL_DENIED, "ad_storage": True}),
        (TC_NO_MEASUREMENT, {**ALL_DENIED, "ad_storage": True, "ad_personalization": True}),
        (TC_EVERYTHING, {**AD_GRANTED, "analytics_storage": True}),
    ],
)
def test_published_tc_strings(text: str, stated: dict[str, bool]) -> None:
    assert read_tc_string(text) == stated


@pytest.mark.parametrize(
    ("consent", "interest", "granted"),
    [
        (set(), set(), set()),
        ({1}, set(), {"ad_storage"}),
        ({1, 7}, set(), {"ad_storage", "ad_user_data"}),
        ({1}, {7}, {"ad_storage", "ad_user_data"}),
        ({7}, {7}, set()),
        ({3}, {4}, set()),
        ({4}, {3}, set()),
        ({3, 4}, set(), {"ad_personalization"}),
        ({1, 8}, set(), {"ad_storage", "analytics_storage"}),
        ({1}, {9}, {"ad_storage", "analytics_storage"}),
        ({1, 10}, set(), {"ad_storage", "analytics_storage"}),
        ({8, 9, 10}, {1, 8, 9, 10}, set()),
        ({2, 5, 6, 11, 24}, {2, 5, 6, 11, 24}, set()),
    ],
)
def test_tc_purposes_are_mapped(consent: set[int], interest: set[int], granted: set[str]) -> None:
    reading = read_tc_string(tc_string(consent, interest))
    assert reading == {purpose: purpose in granted for purpose in ALL_DENIED}


def test_a_tc_string_that_is_cut_before_the_end_of_its_vendors_is_unreadable() -> None:
    whole = tc_string({1, 3, 4, 7})
    assert read_tc_string(whole) is not None
    # The last twelve bits count publisher restrictions, which are not read.
    for length in range(len(whole) - 3):
        assert read_tc_string(whole[:length]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "C",
        "Consent_given_by_the_person_on_the_telephone_on_Monday",
        "B" + TC_DENIED[1:],
        "D" + TC_DENIED[1:],
        TC_DENIED.replace("-", "%"),
        "." + TC_DENIED,
    ],
)
def test_other_text_is_no_tc_string(text: str) -> None:
    assert read_tc_string(text) is None


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("1YNN", AD_GRANTED),
        ("1YYN", AD_DENIED),
        ("1NYN", AD_DENIED),
        ("1-Y-", AD_DENIED),
        ("1yyn", AD_DENIED),
        ("1---", {}),
        ("1Y--", {}),
    ],
)
def test_us_privacy_states_the_ad_purposes(text: str, stated: dict[str, bool]) -> None:
    assert read_us_privacy(text) == stated


@pytest.mark.parametrize("text", ["", "1", "1YN", "1YNNN", "2YNN", "1Y1N", "YYNN", "1YNN\n"])
def test_other_text_is_no_us_privacy_string(text: str) -> None:
    assert read_us_privacy(text) is None


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        # The specification's own, and with the filling that encoders add.
        (f"DBABM~{TC_DENIED}", ALL_DENIED),
        (f"DBABMA~{TC_DENIED}", ALL_DENIED),
        (f"DBACNY~{TC_DENIED}~1YNN", ALL_DENIED),
        ("DBABTA~1YNN", AD_GRANTED),
        ("DBABTA~1YYN", AD_DENIED),
        ("DBABTA~1---", {}),
        # From the tests of iabgpp-es. DBAA is a header without sections.
        ("DBAA", {}),
        ("DBABLA~CAAAAAAAAABA.QA", {}),
        ("DBABLA~BVQqAAAAAgA.QA", AD_GRANTED),
        ("DBABLA~CVVVkkkkkpFY.YA", AD_DENIED),
        (gpp({8: "BVWSSSVY.YA"}), AD_DENIED),
        (gpp({9: "BVWSSVY"}), AD_DENIED),
        (gpp({11: "BVVkklWA"}), AD_DENIED),
        (gpp({24: "BQAA.QA"}), {}),
        (gpp({25: "BVVV.kkk"}), AD_DENIED),
    ],
)
def test_published_gpp_strings(text: str, stated: dict[str, bool]) -> None:
    assert read_gpp(text) == stated


@pytest.mark.parametrize("section_id", US_SECTIONS)
def test_each_opt_out_of_a_us_section_denies_the_ad_purposes(section_id: int) -> None:
    names = US_SECTIONS[section_id][1]
    for name in names:
        choices = {**dict.fromkeys(names, 2), name: 1}
        assert read_gpp(gpp({section_id: us_section(section_id, choices)})) == AD_DENIED
        only = us_section(section_id, {name: 2})
        assert read_gpp(gpp({section_id: only})) == AD_GRANTED


@pytest.mark.parametrize("section_id", US_SECTIONS)
def test_fields_beside_the_opt_outs_state_nothing(section_id: int) -> None:
    assert read_gpp(gpp({section_id: us_section(section_id, {})})) == {}


@pytest.mark.parametrize("section_id", sorted(US_SECTIONS.keys() - {25, 26, 27}))
def test_the_gpc_signal_counts_as_an_opt_out(section_id: int) -> None:
    core = us_section(section_id, {"SaleOptOut": 2})
    assert read_gpp(gpp({section_id: f"{core}.{GPC_SET}"})) == AD_DENIED
    assert read_gpp(gpp({section_id: f"{core}.{GPC_NOT_SET}"})) == AD_GRANTED


@pytest.mark.parametrize("section_id", [25, 26, 27])
def test_a_sub_section_of_sensitive_data_is_not_taken_for_gpc(section_id: int) -> None:
    core = us_section(section_id, {"SaleOptOut": 2})
    no_consent_then_consent = encoded("0110" + "00" * 6)
    assert read_gpp(gpp({section_id: f"{core}.{no_consent_then_consent}"})) == AD_GRANTED


@pytest.mark.parametrize("section_id", WITH_HEADER)
def test_the_header_of_the_newer_us_sections_may_stand_or_not(section_id: int) -> None:
    header = encoded(f"{section_id:06b}{1:06b}" + "0" * 12)
    for name in SALE_AND_TARGETED:
        for choice, stated in ((1, AD_DENIED), (2, AD_GRANTED)):
            core = us_section(section_id, {name: choice})
            assert read_gpp(gpp({section_id: f"{header}.{core}"})) == stated
            assert read_gpp(gpp({section_id: core})) == stated
    assert read_gpp(gpp({section_id: header})) is None
    unknown_version = encoded(f"{section_id:06b}{2:06b}" + "0" * 12)
    assert read_gpp(gpp({section_id: f"{unknown_version}.{core}"})) is None


def test_versions_of_us_sections_that_are_not_known_are_unreadable() -> None:
    assert read_gpp(gpp({7: us_section(7, {"SaleOptOut": 2}, version=2)})) == AD_GRANTED
    assert read_gpp(gpp({7: us_section(7, {"SaleOptOut": 2}, version=3)})) is None
    assert read_gpp(gpp({8: us_section(8, {"SaleOptOut": 2}, version=2)})) is None


def test_a_choice_that_is_not_defined_is_unreadable() -> None:
    assert read_gpp(gpp({8: us_section(8, {"SharingOptOut": 3})})) is None


def test_a_refusal_in_one_section_outweighs_a_grant_in_another() -> None:
    granting = tc_string({1, 3, 4, 7, 8})
    everything = {**AD_GRANTED, "analytics_storage": True}
    assert read_gpp(gpp({2: granting, 6: "1YNN"})) == everything
    assert read_gpp(gpp({2: granting, 6: "1YYN"})) == {**everything, **AD_DENIED}
    assert read_gpp(gpp({6: "1YYN", 9: us_section(9, {"SaleOptOut": 2})})) == AD_DENIED
    assert read_gpp(gpp({6: "1---", 9: us_section(9, {"SaleOptOut": 2})})) == AD_GRANTED


def test_section_ids_may_be_given_as_a_range() -> None:
    ids = "1" + fibonacci(6) + fibonacci(2)
    header = encoded(f"{3:06b}{1:06b}{1:012b}{ids}")
    parts = [us_section(7, {"SaleOptOut": 2}), us_section(8, {"SharingOptOut": 1})]
    assert read_gpp("~".join([header, "1YNN", *parts])) == AD_DENIED
    assert read_gpp("~".join([header, "1YNN", parts[0]])) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "D",
        "DBAB",
        "DBABMA",
        "DBABTA~1YNN~1YNN",
        "DBABTA~",
        "DBABTA~2YNN",
        "DCABTA~1YNN",
        "DBACOeA~~1YNN",
        "DBABTA 1YNN",
        "Denied",
        f"DBABjw~{TC_DENIED}~1YNN",  # Canada's section
        gpp({3: "DBAA"}),
        gpp({28: "BVWSSVY"}),
        gpp({6: "1YNN", 300: "BVWSSVY"}),
        gpp({7: "B"}),
        gpp({7: f"{us_section(7, {'SaleOptOut': 2})}."}),
    ],
)
def test_a_gpp_string_that_is_cut_or_has_an_unknown_section_is_unreadable(text: str) -> None:
    assert read_gpp(text) is None


def test_long_nonsense_is_refused_without_much_work() -> None:
    started = time.perf_counter()
    for text in ("D" + "A" * 500_000, "DBD_" + "s" * 500_000, "C" + "A" * 500_000, "x" * 500_000):
        for read in READERS:
            read(text)
    assert time.perf_counter() - started < 5


NEAR_MISSES = st.one_of(
    st.text(),
    st.text(alphabet="ABCDRYZabvz019-_.~+/=", max_size=120),
    st.text(alphabet="ABCDYZaz0-_.~", max_size=80).map(lambda rest: f"DB{rest}"),
    st.binary(min_size=35, max_size=60).map(
        lambda body: "C" + encoded("".join(f"{byte:08b}" for byte in body))
    ),
    st.dictionaries(
        st.integers(1, 40), st.text(alphabet="BCYQA.~-1N", max_size=20), max_size=4
    ).map(lambda sections: gpp(dict(sorted(sections.items())))),
    st.from_regex(r"G1..|1[0-9]([a-z][0-9]){4,5}|1[YN-]{3}", fullmatch=True),
)


@pytest.mark.parametrize("read", READERS)
@given(text=NEAR_MISSES)
@example("\ud800")
@example("１YNN")
@example("DBABTA~１YNN")
@example("13٣")
def test_no_text_raises(read: Callable[[str], dict[str, bool] | None], text: str) -> None:
    reading = read(text)
    assert reading is None or reading.keys() <= ALL_DENIED.keys()
