"""What each platform could match, as the senders decide it and as health counts it."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.registry import REGISTRY
from tracking_pipeline.health.emq.keys import KEY_WORDS, VISITOR_KEYS
from tracking_pipeline.health.emq.platforms import (
    KEY_BIT_OF,
    keys_of_destination,
    platform_coverage,
)
from tracking_pipeline.identity.platforms import PLATFORMS, VISITOR_IDS, rules_of

NAMES = [spec.name for spec in REGISTRY if not spec.is_store]


def mask_of(keys: Collection[str]) -> int:
    return sum(KEY_BIT_OF[key] for key in keys)


def matchable(destination: str, *events: Collection[str]) -> float | None:
    counts: dict[int, int] = {}
    for keys in events:
        counts[mask_of(keys)] = counts.get(mask_of(keys), 0) + 1
    return platform_coverage({"Lead": counts})[destination].matchable_percent


def test_every_match_key_of_every_platform_is_counted_and_has_a_word() -> None:
    """A new one is appended to ``VISITOR_KEYS``."""
    every = {key for rules in PLATFORMS.values() for key in rules}
    assert every <= KEY_BIT_OF.keys()
    assert every <= KEY_WORDS.keys()
    assert set(VISITOR_KEYS) == set(rules_of(VISITOR_IDS))
    # What a column of type integer holds.
    assert mask_of(KEY_BIT_OF) < 2**31


def test_every_platform_has_its_own_keys_counted() -> None:
    found = platform_coverage({"Lead": {mask_of(["em", "ttclid"]): 3}, "Sign up": {0: 1}})

    assert list(found) == NAMES
    for name in NAMES:
        assert tuple(found[name].percent_by_key) == keys_of_destination(name)
        assert found[name].percent_by_key["em"] == 75
    assert found["tiktok_events"].percent_by_key["ttclid"] == 75
    assert "ttclid" not in found["pinterest_capi"].percent_by_key


def test_without_events_there_is_nothing_to_say() -> None:
    assert platform_coverage({}) == {}
    assert platform_coverage({"Lead": {}}) == {}


@pytest.mark.parametrize(
    ("keys", "enough_for"),
    [
        ({"em"}, {name.partition("_")[0] for name in NAMES} - {"google", "gtm"}),
        ({"ph"}, {"meta", "tiktok", "snapchat", "microsoft", "reddit"}),
        ({"fn", "ln"}, {"meta", "linkedin"}),
        ({"fn"}, set()),
        ({"client_ip_address"}, {"meta", "tiktok", "microsoft", "reddit"}),
        (
            {"client_ip_address", "client_user_agent"},
            {"meta", "tiktok", "pinterest", "snapchat", "microsoft", "reddit", "openai"},
        ),
        ({"client_user_agent", "ct", "st", "zp", "country", "ge"}, {"microsoft", "reddit"}),
        ({"ttclid"}, {"tiktok"}),
        ({"li_fat_id"}, {"linkedin"}),
        ({"rdt_uuid"}, {"reddit"}),
        ({"oppref"}, {"openai"}),
        ({"uetvid"}, {"microsoft"}),
        ({"epik"}, set()),
        (set(), set()),
    ],
)
def test_what_is_enough_is_what_the_platform_publishes(
    keys: set[str], enough_for: set[str]
) -> None:
    """Of Google nothing of the kind is known: a click may be enough, which is no match key."""
    found = platform_coverage({"Lead": {mask_of(keys): 1}})
    enough = {name.partition("_")[0] for name in NAMES if found[name].matchable_percent == 100}
    assert enough == enough_for
    assert found["google_ec"].matchable_percent is None


@given(st.lists(st.sets(st.sampled_from(sorted(KEY_BIT_OF))), min_size=1, max_size=6))
def test_a_share_is_that_of_the_events_that_have_enough_alone(events: list[set[str]]) -> None:
    for name in NAMES:
        alone = [matchable(name, keys) for keys in events]
        share = matchable(name, *events)
        if share is not None:
            assert share == pytest.approx(100 * alone.count(100) / len(events))
