"""Scores against cases computed by hand, for both models."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.meta.capi import TOO_LITTLE_INFORMATION
from tracking_pipeline.health.emq.keys import KEYS, keys_of, mask_of
from tracking_pipeline.health.emq.score import (
    NETWORK,
    SATURATING_WEIGHTS,
    WEIGHTED_WEIGHTS,
    EmqModel,
    is_refused,
    score,
    score_event,
    weights_of,
)

BROWSER = ("client_ip_address", "client_user_agent")
PLACE = ("ct", "st", "zp", "country")
CHECKOUT = ("em", "ph", "fn", "ln", *PLACE, "fbp", *BROWSER)
EVERY_KEY = tuple(key for key in KEYS if key != "fb_login_id")

# Name, keys of every event, share with a click id besides, saturating, weighted.
CASES = [
    # 10 * (1 - .62 * .68 * (.7 + .3 * .65)); (1.5 + .3) / 9 * 10
    pytest.param((*BROWSER, "fbp"), 0.3, 6.2267, 2.0, id="A browser keys alone"),
    pytest.param(EVERY_KEY, 0.0, 9.4478, 10.0, id="B every key"),
    # (3 + 2.5 + .5 + .5 + 1.5 + .2) / 9 * 10
    pytest.param(CHECKOUT, 0.2, 8.8430, 9.1111, id="C checkout"),
    # 10 * (1 - .62 * .55); 3 / 9 * 10
    pytest.param(("em", *BROWSER), 0.0, 6.59, 3.3333, id="D e-mail and browser"),
    # 10 * (1 - .55 * .7 * .95 * .95); 6.5 / 9 * 10
    pytest.param(("em", "ph", "fn", "ln"), 0.0, 6.5254, 7.2222, id="E offline"),
    # 10 * (1 - .62 * .8)
    pytest.param(("external_id", *BROWSER), 0.0, 5.04, 0.0, id="F customer number and browser"),
]


def counts_of(keys: tuple[str, ...], click_share: float) -> dict[str, dict[int, int]]:
    with_click = round(100 * click_share)
    mask = mask_of(keys)
    counts = Counter({mask: 100 - with_click})
    counts[mask | mask_of(["fbc"])] += with_click
    return {"Lead": counts}


@pytest.mark.parametrize(("keys", "click_share", "saturating", "weighted"), CASES)
def test_the_six_cases_score_as_computed_by_hand(
    keys: tuple[str, ...], click_share: float, saturating: float, weighted: float
) -> None:
    counts = counts_of(keys, click_share)
    assert score(counts, "saturating").overall == pytest.approx(saturating, abs=1e-3)
    assert score(counts, "weighted").overall == pytest.approx(weighted, abs=1e-3)


@pytest.mark.parametrize("model", ["saturating", "weighted"])
@pytest.mark.parametrize("counts", [{}, {"Lead": {}}, {"Lead": {mask_of(["em"]): 0}}])
def test_no_events_have_no_score(counts: dict[str, dict[int, int]], model: EmqModel) -> None:
    found = score(counts, model)
    assert found.state == "no_data"
    assert found.overall is None
    assert found.events == 0
    assert found.by_event == {}


def test_events_without_any_key_score_zero_and_are_counted() -> None:
    found = score({"Lead": {0: 3}}, "saturating")
    assert (found.state, found.overall, found.events) == ("ok", 0.0, 3)


def test_the_whole_is_the_mean_of_events_and_not_of_event_names() -> None:
    counts = {"Lead": {mask_of(["em"]): 3}, "Purchase": {0: 1}}
    found = score(counts, "weighted")
    assert found.overall == pytest.approx(2.5)
    assert {name: each.score for name, each in found.by_event.items()} == pytest.approx(
        {"Lead": 10 / 3, "Purchase": 0.0}
    )
    assert found.by_event["Lead"].events == 3
    assert found.coverage_percent["em"] == pytest.approx(75.0)
    assert found.by_event["Purchase"].coverage_percent["em"] == 0.0


def test_address_and_user_agent_count_together_or_not_at_all() -> None:
    alone = score_event(mask_of(["em", "client_ip_address"]), "saturating", SATURATING_WEIGHTS)
    assert alone == score_event(mask_of(["em"]), "saturating", SATURATING_WEIGHTS)


@pytest.mark.parametrize("combination", TOO_LITTLE_INFORMATION)
def test_what_delivery_would_not_send_for_too_little_scores_zero(
    combination: frozenset[str],
) -> None:
    for size in range(len(combination) + 1):
        for keys in combinations(sorted(combination), size):
            assert score_event(mask_of(keys), "saturating", SATURATING_WEIGHTS) == 0.0


@given(st.sets(st.sampled_from(EVERY_KEY)))
def test_only_what_delivery_would_not_send_is_refused(keys: set[str]) -> None:
    assert is_refused(mask_of(keys)) == any(keys <= each for each in TOO_LITTLE_INFORMATION)


def test_a_place_that_was_looked_up_does_not_make_a_refused_event_acceptable() -> None:
    assert is_refused(mask_of(["client_user_agent"], from_ip=["ct", "zp"]))


@given(
    st.integers(min_value=0, max_value=2 ** len(KEYS) - 1),
    st.sampled_from(KEYS),
    st.sampled_from(["saturating", "weighted"]),
)
def test_a_further_key_never_lowers_a_score(mask: int, key: str, model: EmqModel) -> None:
    weights = weights_of(model)
    before = score_event(mask, model, weights)
    after = score_event(mask | mask_of([key]), model, weights)
    assert 0 <= before <= after <= 10 + 1e-9
    if model == "saturating":
        assert after < 10


def test_the_next_best_key_is_the_one_that_would_raise_the_score_most() -> None:
    found = score(counts_of((*BROWSER, "fbp"), 0.3), "saturating")
    gains = found.gain_by_key
    assert found.next_best_key == "em"
    with_email = score(counts_of((*BROWSER, "fbp", "em"), 0.3), "saturating").overall
    assert found.overall is not None
    assert with_email == pytest.approx(found.overall + found.next_best_gain)
    assert gains["fbp"] == gains[NETWORK] == pytest.approx(0.0)
    assert set(gains) == set(SATURATING_WEIGHTS) - {"fb_login_id"}


def test_a_facebook_login_is_advised_only_to_a_site_that_has_it() -> None:
    found = score({"Lead": {mask_of(["em"]): 9, mask_of(["em", "fb_login_id"]): 1}}, "saturating")
    assert found.next_best_key == "fb_login_id"


def test_where_nothing_is_missing_nothing_is_advised() -> None:
    found = score(counts_of(EVERY_KEY, 0.0), "saturating")
    assert found.next_best_key is None
    assert found.next_best_gain == 0.0


def test_keys_from_ip_addresses_can_be_left_out_of_the_account() -> None:
    looked_up = mask_of(("em", "st"), from_ip=("ct", "zp", "country"))
    found = score({"Lead": {looked_up: 10}}, "saturating")
    assert found.overall == pytest.approx(10 * (1 - 0.55 * 0.96 * 0.96 * 0.95 * 0.97))
    assert found.without_ip_address_keys == pytest.approx(10 * (1 - 0.55 * 0.96))


@given(
    st.dictionaries(
        st.sampled_from(["Lead", "Purchase", "Schedule"]),
        st.dictionaries(st.integers(0, 2 ** len(KEYS) - 1), st.integers(1, 10**6), max_size=6),
    )
)
def test_a_score_lies_between_its_event_names_and_coverage_adds_up(
    counts: dict[str, dict[int, int]],
) -> None:
    found = score(counts, "saturating")
    if found.overall is None:
        assert not any(counts.values())
        return
    scores = [each.score for each in found.by_event.values()]
    assert min(scores) - 1e-9 <= found.overall <= max(scores) + 1e-9
    assert found.events == sum(each.events for each in found.by_event.values())
    for key in KEYS:
        carrying = sum(n for m in counts.values() for mask, n in m.items() if key in keys_of(mask))
        assert found.coverage_percent[key] == pytest.approx(100 * carrying / found.events)


def test_given_weights_take_the_place_of_defaults() -> None:
    weights = weights_of("saturating", {"em": 0.9})
    assert weights["em"] == 0.9
    assert weights["ph"] == SATURATING_WEIGHTS["ph"]
    assert weights_of("weighted", {"external_id": 1.0}) == {**WEIGHTED_WEIGHTS, "external_id": 1.0}


@pytest.mark.parametrize(
    ("model", "given_weights", "problem"),
    [
        ("saturating", {"email": 0.4}, "email is not one of em, ph"),
        ("saturating", {"em": 1.0}, "the weight of em must be from 0 to below 1"),
        ("weighted", {"em": -1.0}, "the weight of em must be 0 or more"),
        ("weighted", dict.fromkeys(WEIGHTED_WEIGHTS, 0.0), "at least one weight must be above 0"),
    ],
)
def test_weights_that_no_model_can_use_are_refused_by_name(
    model: EmqModel, given_weights: dict[str, float], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        weights_of(model, given_weights)
