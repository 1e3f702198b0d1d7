from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from tracking_pipeline.health.emq.presence import present_keys
from tracking_pipeline.sandbox.sample_data import BANNER_DAYS, DAYS, sample_leads, sample_ledger

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=timezone.utc)
LEADS = sample_leads(60, seed=7, now=NOW)
ROWS = sample_ledger(LEADS, 2000, seed=7, now=NOW)


def share(rows: Iterable[dict[str, Any]], has: Callable[[dict[str, Any]], object]) -> float:
    found = list(rows)
    return sum(bool(has(row)) for row in found) / len(found)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    assert sample_ledger(LEADS, 2000, seed=7, now=NOW) == ROWS
    assert sample_ledger(LEADS, 2000, seed=8, now=NOW) != ROWS


def test_every_event_has_an_id_of_its_own_and_lies_in_the_two_weeks() -> None:
    assert len({row["event_id"] for row in ROWS}) == len(ROWS) == 2060
    for row in ROWS:
        assert NOW - timedelta(days=DAYS) <= row["created_at"] < NOW


def test_every_lead_has_its_one_event_and_nobody_elses() -> None:
    of_leads = [row["lead_id"] for row in ROWS if row["lead_id"] is not None]
    assert sorted(of_leads) == sorted(str(lead["id"]) for lead in LEADS)


def test_the_new_banner_costs_the_browsers_keys() -> None:
    banner = NOW - timedelta(days=BANNER_DAYS)
    before = [row for row in ROWS if row["created_at"] < banner]
    after = [row for row in ROWS if row["created_at"] >= banner]
    assert share(before, lambda row: row["fbp"]) == 1
    assert 0.3 < share(after, lambda row: row["fbp"]) < 0.5


def test_who_only_calls_leaves_no_name() -> None:
    for row in ROWS:
        nameless = row["event_name"] == "phone_lead_captured"
        mask = present_keys(row["user_data"])
        assert (present_keys({"em": "a@example.com"}) & mask == 0) is nameless
