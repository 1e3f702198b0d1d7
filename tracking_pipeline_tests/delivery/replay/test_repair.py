"""Repairs: what each rule does, what none may do, and what a diff may show."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.replay.repair import RepairError, read_rules, repair

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def repaired(payload: Any, rules: str) -> Any:
    """The payload after the rules; "as it was" where nothing changed."""
    found = repair(json.dumps(payload), read_rules(rules))
    return "as it was" if found.payload is None else json.loads(found.payload)


def changes(payload: Any, rules: str) -> list[tuple[int, str]]:
    return list(repair(json.dumps(payload), read_rules(rules)).changes)


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("[{set: $.currency, value: USD}]", {}, {"currency": "USD"}),
        ("[{set: $.currency, value: USD}]", {"currency": "US"}, {"currency": "USD"}),
        ("[{set: $.currency, value: USD}]", {"currency": "USD"}, "as it was"),
        (
            "[{set: $.currency, value: USD, only_missing: true}]",
            {"currency": "EUR"},
            "as it was",
        ),
        ("[{set: $.custom.a.b, value: 1}]", {}, {"custom": {"a": {"b": 1}}}),
        ("[{set: $.custom.a, value: 1}]", {"custom": "text"}, "as it was"),
        ("[{set: '$.items[*].kind', value: x}]", {"items": [{}, 1, {}]},
         {"items": [{"kind": "x"}, 1, {"kind": "x"}]}),
        ("[{rename: $.u.mail, to: email}]", {"u": {"mail": "a"}}, {"u": {"email": "a"}}),
        ("[{rename: $.mail, to: email}]", {"mail": "a", "email": "b"}, "as it was"),
        ("[{rename: $.eventID, to: event_id}]", {"eventID": "a"}, {"event_id": "a"}),
        ("[{drop: $.debug}]", {"debug": {"x": 1}, "y": 2}, {"y": 2}),
        ("[{drop: $.debug}]", {}, "as it was"),
        ("[{drop: \"$['utm source']\"}]", {"utm source": 1}, {}),
        ("[{cast: $.value, to: number}]", {"value": "1.234,50"}, {"value": 1234.5}),
        ("[{cast: $.value, to: number}]", {"value": "12"}, {"value": 12}),
        ("[{cast: $.value, to: number}]", {"value": "a lot"}, "as it was"),
        ("[{cast: $.id, to: integer}]", {"id": "12345678901234567890"},
         {"id": 12345678901234567890}),
        ("[{cast: $.id, to: integer}]", {"id": 3.0}, {"id": 3}),
        ("[{cast: $.id, to: integer}]", {"id": 3.5}, "as it was"),
        ("[{cast: $.id, to: text}]", {"id": 17}, {"id": "17"}),
        ("[{cast: $.new, to: boolean}]", {"new": "Yes"}, {"new": True}),
        ("[{cast: $.new, to: boolean}]", {"new": 0}, {"new": False}),
        ("[{cast: $.new, to: boolean}]", {"new": None}, "as it was"),
        ("[{cast: '$.items[1].price', to: number}]", {"items": [{"price": "1"}, {"price": "2"}]},
         {"items": [{"price": "1"}, {"price": 2}]}),
    ],
)  # fmt: skip
def test_a_rule_changes_what_its_path_finds_and_nothing_else(
    rule: str, before: Any, after: Any
) -> None:
    assert repaired(before, rule) == after


def test_rules_are_applied_in_their_order_and_json_is_as_good_as_yaml() -> None:
    rules = json.dumps(
        [
            {"set": "$.box", "value": {}},
            {"set": "$.box.a", "value": 1},
            {"rename": "$.box.a", "to": "b"},
        ]
    )
    assert repaired({}, rules) == {"box": {"b": 1}}
    # A rule's own value is no place to keep what the next rule did to the last event.
    assert repaired({"other": 1}, rules) == {"other": 1, "box": {"b": 1}}


def test_a_payload_stored_as_json_text_becomes_an_object() -> None:
    assert repaired(json.dumps({"a": 1}), "[{drop: $.a}]") == {}


def test_numbers_that_no_rule_names_keep_their_digits() -> None:
    payload = '{"id": 123456789012345678901234, "x": 1}'
    assert (
        repair(payload, read_rules("[{drop: $.x}]")).payload == '{"id": 123456789012345678901234}'
    )


def test_a_diff_shows_kinds_and_only_the_value_that_a_rule_sets() -> None:
    payload = {"email": "emily@example.com", "currency": "EUR", "value": "19.90", "d": [1]}
    rules = """
    - {set: $.currency, value: USD}
    - {cast: $.value, to: number}
    - {rename: $.email, to: em}
    - {drop: $.d}
    """
    assert changes(payload, rules) == [
        (1, '$.currency: text -> "USD"'),
        (2, "$.value: text -> number"),
        (3, "$.email -> em"),
        (4, "$.d: list -> missing"),
    ]


def test_the_same_change_in_many_places_of_an_event_is_told_once() -> None:
    payload = {"items": [{"price": "1"}, {"price": "2"}]}
    assert len(changes(payload, "[{cast: '$.items[*].price', to: number}]")) == 1


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("{", "neither YAML nor JSON"),
        ("set: $.a", "must be a list"),
        ("[1]", "rule 1: must be an object"),
        ("[{}]", "rule 1: must have exactly one of"),
        ("[{set: $.a, value: 1, drop: $.b}]", "exactly one of"),
        ("[{set: $.a, value: 1, when: x}]", "has 'when', which set does not know"),
        ("[{set: $.a}]", "set needs a value"),
        ("[{set: $.a, value: 2026-01-01}]", "the value is not JSON"),
        ("[{set: $.a, value: .nan}]", "the value is not JSON"),
        ('[{set: $.a, value: "\\0"}]', "null character"),
        ("[{set: $.a, value: 1, only_missing: 1}]", "only_missing must be true or false"),
        ("[{set: a, value: 1}]", "a text that starts with $"),
        ("[{set: '$', value: 1}]", "a path ends at a name"),
        ("[{set: '$.a[0]', value: 1}]", "a path ends at a name"),
        ("[{set: $.a..b, value: 1}]", "cannot be read from character 4 on"),
        ("[{drop: $.ok}, {rename: $.a}]", "rule 2: rename needs to"),
        ("[{cast: $.a, to: money}]", "cast needs to"),
        ("[{cast: $.a, to: [number]}]", "cast needs to"),
    ],
)
def test_rules_that_cannot_be_used_are_told_by_number_and_fault(rules: str, words: str) -> None:
    with pytest.raises(RepairError) as caught:
        read_rules(rules)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "rule",
    [
        "{set: $.event_id, value: x}",
        "{set: $.event_time, value: 1}",
        "{set: $.user_data.fbc, value: x}",
        "{drop: $.eventID}",
        "{drop: $.order_id}",
        "{rename: $.event_id, to: id}",
        "{rename: $.id, to: event_id}",
    ],
)
def test_no_rule_makes_another_event_of_it(rule: str) -> None:
    with pytest.raises(RepairError):
        read_rules(f"[{rule}]")


def test_no_rules_change_nothing() -> None:
    assert read_rules("") == read_rules("[]") == ()
    assert repaired({"a": 1}, "") == "as it was"


@given(JSON_VALUES)
def test_no_payload_makes_a_repair_fail_and_no_other_field_is_touched(payload: Any) -> None:
    rules = "[{set: $.a.b, value: 1}, {cast: '$.c[*].d', to: text}, {drop: $.e}]"
    after = repaired(payload, rules)
    if after == "as it was" or not isinstance(payload, dict):
        return
    named = {"a", "c", "e"}
    untouched = {name: value for name, value in payload.items() if name not in named}
    assert {name: value for name, value in after.items() if name not in named} == untouched


def test_a_payload_nested_too_deeply_is_left_as_it_is() -> None:
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    assert repair(deep, read_rules("[{set: $.b, value: 1}]")).payload is None
