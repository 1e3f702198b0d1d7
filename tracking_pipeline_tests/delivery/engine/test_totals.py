from __future__ import annotations

from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    NotSent,
    Outcome,
    Paused,
    Postponed,
    Rejected,
    Retry,
    Throttled,
    reject,
    withhold,
)
from tracking_pipeline.delivery.engine.settlement import settlement
from tracking_pipeline.delivery.engine.totals import RetryTotals, Tally, totals_of
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline_tests.delivery.claimed import NOW, claimed

FAULT = Fault("no answer in time", Failure.DESTINATION_UNREACHABLE, "timeout")


def tally_of(*outcomes: Outcome | NotSent, retry_count: int = 0) -> Tally:
    tally = Tally("meta_capi")
    for outcome in outcomes:
        tally.count(settlement(claimed({}, retry_count=retry_count), outcome, jitter=0.0))
    return tally


def totals(*tallies: Tally) -> RetryTotals:
    return totals_of(list(tallies), seconds=1.23456, stopped_reason="drained")


def test_processed_is_what_was_resolved_failed_or_dead_lettered() -> None:
    counted = tally_of(
        Delivered(),
        Delivered(),
        Retry(FAULT),
        reject("missing event_name", Failure.EVENT_FIELD_MISSING),
    ).frozen()

    assert (counted.resolved, counted.failed, counted.dead_lettered) == (2, 1, 1)
    assert counted.processed == 4


def test_an_event_that_has_no_retry_left_is_dead_lettered_and_not_failed() -> None:
    counted = tally_of(Retry(FAULT), retry_count=4).frozen()

    assert (counted.failed, counted.dead_lettered) == (0, 1)


def test_a_throttled_or_paused_event_was_not_processed() -> None:
    assert tally_of(Throttled(FAULT, 5.0), Paused(FAULT)).frozen().processed == 0


def test_what_is_withheld_or_postponed_was_not_processed_and_is_no_error() -> None:
    tally = tally_of(
        withhold("consent denied", Failure.CONSENT_DENIED),
        withhold("consent denied", Failure.CONSENT_DENIED),
        Postponed(NOW),
    )

    counted = tally.frozen()

    assert (counted.withheld, counted.postponed) == (2, 1)
    assert counted.processed == counted.resolved == 0
    assert totals(tally).errors == ()
    assert totals(tally).as_json()["withheld_by_reason"] == [
        {"destination": "meta_capi", "reason": "consent denied", "count": 2}
    ]


def test_a_destination_with_a_new_reason_to_withhold_each_time_does_not_fill_the_memory() -> None:
    tally = tally_of(
        *(withhold(f"rule {number}", Failure.CONSENT_DENIED) for number in range(5_000))
    )

    assert len(tally.withheld) < 1_000
    assert len(totals(tally).withheld) <= 20
    assert tally.frozen().withheld == 5_000


def test_duplicates_are_resolved_and_counted_by_their_kind() -> None:
    counted = tally_of(Delivered(duplicate="event"), Delivered(duplicate="conversion")).frozen()

    assert (counted.resolved, counted.duplicates, counted.duplicate_conversions) == (2, 1, 1)


def test_errors_are_counted_by_reason_and_the_most_frequent_comes_first() -> None:
    tally = tally_of(
        reject("missing event_name", Failure.EVENT_FIELD_MISSING), Retry(FAULT), Retry(FAULT)
    )

    errors = totals(tally).errors

    assert [(error.outcome, error.reason, error.count) for error in errors] == [
        ("retry", "no answer in time · timeout", 2),
        ("rejected", "missing event_name", 1),
    ]


def test_a_destination_with_a_new_error_each_time_does_not_fill_the_memory() -> None:
    tally = tally_of(
        *(
            Rejected(f"refused: {code}", Fault("no", Failure.META_EVENT_INVALID, str(code)))
            for code in range(5_000)
        )
    )

    assert len(tally.errors) < 1_000
    assert len(totals(tally).errors) <= 20
    assert tally.frozen().dead_lettered == 5_000


def test_the_answer_has_the_keys_that_others_rely_on_and_their_sums() -> None:
    meta, ledger = tally_of(Delivered(), Retry(FAULT)), Tally("supabase")
    ledger.count(settlement(claimed({}), Delivered(duplicate="conversion"), jitter=0.0))
    ledger.numbers["throttled"] = 3

    answer = totals(meta, ledger).as_json()

    assert answer["success"] is True
    assert answer["processed"] == answer["resolved"] + answer["failed"] + answer["dead_lettered"]
    assert (answer["processed"], answer["throttled"], answer["paused"]) == (3, 3, 0)
    assert answer["duplicate_conversion"] == 1
    assert set(answer["by_destination"]) == {"meta_capi", "supabase"}
    assert answer["by_destination"]["supabase"]["processed"] == 1


def test_match_keys_that_could_not_be_used_are_summed_over_the_destinations() -> None:
    first, second = Tally("meta_capi"), Tally("supabase")
    for tally in (first, second):
        tally.dropped.update([("ph", "invalid phone")])

    assert totals(first, second).as_json()["dropped_match_keys"] == [
        {"key": "ph", "reason": "invalid phone", "count": 2}
    ]


def test_fields_that_cannot_be_read_are_counted_by_where_they_stand() -> None:
    tally = tally_of(
        *[reject("unreadable custom_data.value", Failure.EVENT_FIELD_UNREADABLE)] * 2,
        reject("missing user_data", Failure.EVENT_UNIDENTIFIED),
        Delivered(),
    )
    tally.count_dropped([("currency", "unreadable"), ("ph", "invalid phone")])

    told = totals(tally)

    assert told.unreadable == {"custom_data.value": 2, "currency": 1}
    assert told.dropped == {("ph", "invalid phone"): 1}
    assert told.as_json()["unreadable_fields"] == [
        {"field": "custom_data.value", "count": 2},
        {"field": "currency", "count": 1},
    ]
