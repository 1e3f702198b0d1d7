from __future__ import annotations

import ipaddress
import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import phonenumbers
import pytest

from tracking_pipeline.sandbox.meta_rules import raw_personal_data, refusal
from tracking_pipeline.sandbox.sample_data import (
    POISON,
    delivered_id,
    sample_failed_events,
    sample_leads,
    sample_scripts,
)
from tracking_pipeline.sandbox.sample_people import PUBLIC_ADDRESSES
from tracking_pipeline.sandbox.server import Sandbox

_NOW = datetime(2026, 11, 24, 9, 0, tzinfo=timezone.utc)
_LEADS = sample_leads(400, seed=7, now=_NOW)
_EVENTS = sample_failed_events(_LEADS, 800, seed=7, now=_NOW)
_POISON = [event for event in _EVENTS if event["lead_id"] is None]
_GOOD = [event for event in _EVENTS if event["lead_id"] is not None]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert sample_leads(400, seed=7, now=_NOW) == _LEADS
    assert sample_failed_events(_LEADS, 800, seed=7, now=_NOW) == _EVENTS
    assert sample_scripts(_EVENTS, seed=7) == sample_scripts(_EVENTS, seed=7)
    assert sample_leads(400, seed=8, now=_NOW) != _LEADS
    assert sample_failed_events(_LEADS, 800, seed=8, now=_NOW) != _EVENTS


def test_every_id_is_given_once() -> None:
    for rows, key in ((_LEADS, "id"), (_LEADS, "email"), (_EVENTS, "id"), (_EVENTS, "event_id")):
        assert len({row[key] for row in rows}) == len(rows)
    named = [delivered_id(event) for event in _EVENTS]
    assert len(set(named)) == len(named)


def test_no_lead_is_a_real_person() -> None:
    for lead in _LEADS:
        assert lead["email"].split("@")[1] in {"example.com", "example.org", "example.net"}


def test_every_phone_can_be_read_in_its_market() -> None:
    for lead in _LEADS:
        number = phonenumbers.parse(lead["phone"], "US")
        assert phonenumbers.is_valid_number(number), lead["phone"]


def test_every_address_is_a_public_one_and_most_leads_have_one() -> None:
    assert all(ipaddress.ip_address(address).is_global for address in PUBLIC_ADDRESSES)
    with_address = [lead for lead in _LEADS if lead["client_ip"]]
    assert {lead["client_ip"] for lead in with_address} <= set(PUBLIC_ADDRESSES)
    assert 0.9 < len(with_address) / len(_LEADS) < 1


def test_most_leads_lack_their_place_and_the_others_have_all_of_it() -> None:
    lacking = [lead for lead in _LEADS if lead["city"] is None]
    assert len(lacking) / len(_LEADS) == pytest.approx(0.6, abs=0.08)
    for lead in _LEADS:
        place = [lead[name] for name in ("city", "state", "zip", "country")]
        assert all(place) or not any(place)


def test_names_stand_in_several_scripts() -> None:
    names = "".join(lead["last_name"] for lead in _LEADS)
    samples = ("O'Brien", "Groß", "Παπαδόπουλος", "Иванова", "佐藤", "김", "العلي", "शर्मा")
    assert all(sample in names for sample in samples)


def test_times_know_their_zone_and_stand_in_order() -> None:
    born = {lead["id"]: lead["created_at"] for lead in _LEADS}
    for event in _EVENTS:
        assert event["created_at"].tzinfo is not None
        assert event["created_at"] <= event["updated_at"] < _NOW
        assert event["resolved_at"] is None
        if event["lead_id"] is not None:
            assert born[event["lead_id"]] < event["created_at"]
            assert _NOW - event["created_at"] < timedelta(days=2)


def test_events_wait_as_rows_of_the_table_do() -> None:
    for event in _EVENTS:
        assert event["status"] == ("retrying" if event["retry_count"] else "pending")
        assert 0 <= event["retry_count"] < event["max_retries"]
        assert event["error_message"]
        json.dumps(event["event_payload"])
    counts = Counter(event["retry_count"] for event in _GOOD)
    assert set(counts) == {0, 1, 2, 3, 4}
    to_come = [event for event in _GOOD if event["next_retry_at"] and event["next_retry_at"] > _NOW]
    assert len(to_come) / len(_GOOD) == pytest.approx(0.2, abs=0.06)


def test_all_destinations_and_all_payload_shapes_occur() -> None:
    destinations = Counter(event["destination"] for event in _EVENTS)
    assert set(destinations) == {"meta_capi", "supabase", "google_ec", "gtm_server"}
    assert destinations["meta_capi"] > len(_EVENTS) / 2
    payloads = [event["event_payload"] for event in _GOOD if event["destination"] == "meta_capi"]
    shapes = Counter(
        "meta" if "custom_data" in payload else "ledger" if "metadata" in payload else "flat"
        for payload in payloads
    )
    assert set(shapes) == {"meta", "ledger", "flat"}


def test_what_was_meant_for_meta_is_what_meta_takes() -> None:
    payloads = [
        event["event_payload"] for event in _GOOD if "custom_data" in event["event_payload"]
    ]
    assert len(payloads) > 100
    for payload in payloads:
        assert refusal(payload, _NOW.timestamp()) is None
        assert list(raw_personal_data(payload)) == []


def test_a_pixels_own_id_is_in_some_payloads() -> None:
    own = [event for event in _GOOD if delivered_id(event) != str(event["event_id"])]
    assert 0 < len(own) < len(_GOOD) / 4


def test_every_kind_of_poison_is_refused_for_its_own_reason() -> None:
    assert len(_POISON) == len(_EVENTS) // 8
    reasons = Counter(
        (refused.subcode, refused.title)
        for refused in (refusal(event["event_payload"], _NOW.timestamp()) for event in _POISON)
        if refused is not None
    )
    assert sum(reasons.values()) == len(_POISON)
    subcodes = {subcode for subcode, _ in reasons}
    assert subcodes == {None, 2804003, 2804009, 2804050}
    garbage = [event for event in _POISON if "event_name" not in event["event_payload"]]
    unnamed = [event for event in _POISON if event["event_name"] == ""]
    assert len(garbage) == len(unnamed) == len(_POISON) // len(POISON)


def test_a_small_sample_shows_every_kind_of_poison() -> None:
    events = sample_failed_events(_LEADS[:10], 40, seed=1, now=_NOW)
    assert sum(event["lead_id"] is None for event in events) == len(POISON)


def test_samples_need_a_lead() -> None:
    with pytest.raises(ValueError, match="lead"):
        sample_failed_events([], 1, seed=1, now=_NOW)


def _claim_order(event: dict[str, Any]) -> tuple[datetime, str]:
    never = datetime.min.replace(tzinfo=timezone.utc)
    return event["next_retry_at"] or never, event["id"].hex


@pytest.mark.parametrize("seed", range(1, 6))
def test_one_pass_over_a_sample_shows_delivered_failed_and_refused_events(
    seed: int, sender: Callable[[Sandbox], Any], event: Callable[..., dict[str, Any]]
) -> None:
    rows = sample_failed_events(_LEADS, 60, seed=seed, now=_NOW)
    due = [
        delivered_id(row)
        for row in sorted(rows, key=_claim_order)
        if row["destination"] == "meta_capi"
        and row["lead_id"] is not None
        and (row["next_retry_at"] is None or row["next_retry_at"] <= _NOW)
    ]
    scripts = sample_scripts(rows, seed)
    outcomes: Counter[int] = Counter()
    with Sandbox() as sandbox:
        sandbox.scripts.update(scripts)
        send = sender(sandbox)

        def deliver(event_ids: list[str]) -> None:
            status = send.ids(*event_ids).status_code
            if status == 400 and len(event_ids) > 1:
                middle = len(event_ids) // 2
                deliver(event_ids[:middle])
                deliver(event_ids[middle:])
            else:
                outcomes[status] += len(event_ids)

        deliver(due)
    assert set(outcomes) == {200, 400, 503}
    # No event fails because of another: each 503 was met alone.
    assert outcomes[503] == list(scripts.values()).count([503])
    assert outcomes[400] == list(scripts.values()).count(["bad"])
