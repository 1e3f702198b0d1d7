"""Masks are stored: a bit keeps its meaning for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.emq.keys import (
    ADDRESS_KEYS,
    BIT_OF,
    FROM_IP_BIT_OF,
    KEYS,
    VISITOR_BIT_OF,
    keys_of,
    mask_of,
    without_keys_from_ip,
)

ADDRESSES = st.sets(st.sampled_from(ADDRESS_KEYS))


def test_stored_bits_do_not_move() -> None:
    expected = [
        "em",
        "ph",
        "fn",
        "ln",
        "ge",
        "db",
        "ct",
        "st",
        "zp",
        "country",
        "external_id",
        "fbp",
        "fbc",
        "client_ip_address",
        "client_user_agent",
        "fb_login_id",
    ]
    assert {key: 2**place for place, key in enumerate(expected)} == BIT_OF
    assert FROM_IP_BIT_OF == {"ct": 2**16, "st": 2**17, "zp": 2**18, "country": 2**19}
    appended = "ttclid ttp li_fat_id epik sccid scid msclkid uetvid rdt_cid rdt_uuid oppref".split()
    assert {key: 2 ** (20 + place) for place, key in enumerate(appended)} == VISITOR_BIT_OF


@given(st.sets(st.sampled_from(KEYS)), ADDRESSES)
def test_a_mask_tells_its_keys_and_where_they_are_from(stated: set[str], found: set[str]) -> None:
    mask = mask_of(stated, from_ip=found)
    assert set(keys_of(mask)) == stated | found
    assert {key for key, bit in FROM_IP_BIT_OF.items() if mask & bit} == found
    assert mask < 2**20


@given(st.sets(st.sampled_from([key for key in KEYS if key not in ADDRESS_KEYS])), ADDRESSES)
def test_without_ip_addresses_only_what_was_stated_is_left(
    stated: set[str], found: set[str]
) -> None:
    assert without_keys_from_ip(mask_of(stated, from_ip=found)) == mask_of(stated)


def test_a_key_that_is_not_counted_has_no_mask() -> None:
    with pytest.raises(KeyError):
        mask_of(["email"])
