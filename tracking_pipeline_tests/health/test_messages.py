"""What an operator reads when an alert comes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest

from tracking_pipeline.delivery.engine.breaker import (
    UNSPENT,
    away_reason,
    failing_reason,
    pause_message,
    refusing_reason,
    told_reason,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.health.alerts.due import DueMessage
from tracking_pipeline.health.alerts.messages import (
    AlertFacts,
    alert_message,
    digest,
    notification,
    what_and_next_step,
)
from tracking_pipeline.health.alerts.rules import Recovery
from tracking_pipeline.health.emq.keys import mask_of
from tracking_pipeline.health.emq.score import SATURATING_WEIGHTS, score
from tracking_pipeline.health.metrics import AlertType, alert_types
from tracking_pipeline.health.readings.causes import (
    DeadLetterBatch,
    dead_letter_causes,
    destination_causes,
    emq_causes,
    fallen_key,
    paused_causes,
)
from tracking_pipeline.health.readings.queue import batches_of
from tracking_pipeline.identity import plain_reason

SINCE = datetime(2026, 11, 24, 10, 15, tzinfo=timezone.utc)
EMQ = AlertFacts(
    "emq_critical", "critical", 3.62, 4.0, SINCE, causes=("e-mail (em) fell from 82 % to 41 %",)
)


def test_a_message_says_value_threshold_since_when_cause_and_next_step() -> None:
    assert alert_message(EMQ) == (
        "The estimated EMQ score is 3.6 of 10, below 4.0 (critical), since 2026-11-24 10:15 UTC. "
        "Likely cause: e-mail (em) fell from 82 % to 41 %. "
        "Open the asset emq_score: it shows how many events carry each match key. "
        "Fix the form or the server that no longer sends the key named here."
    )


@pytest.mark.parametrize("alert_type", alert_types())
@pytest.mark.parametrize("value", [None, 0.0, 3.0, 12345.678])
@pytest.mark.parametrize("threshold", [None, 0.0, 4.0])
@pytest.mark.parametrize("recovery", [None, Recovery("ok", 2), Recovery("warning", 1)])
def test_every_type_has_words_in_one_line(
    alert_type: AlertType,
    value: float | None,
    threshold: float | None,
    recovery: Recovery | None,
) -> None:
    facts = AlertFacts(alert_type, "warning", value, threshold, SINCE, recovery=recovery)
    text = alert_message(facts)
    assert "\n" not in text
    assert "{" not in text
    assert text.endswith(".")
    assert text[0].isupper()


@pytest.mark.parametrize(
    ("alert_type", "value", "threshold", "recovery", "begins"),
    [
        (
            "failed_events_critical",
            0,
            10,
            Recovery("ok", 1),
            "Failed events waiting to be sent again: 0 now, was more than 10 (critical), alert "
            "since 2026-11-24 10:15 UTC; ends after 1 more healthy check. ",
        ),
        (
            "emq_critical",
            4.9,
            4,
            Recovery("warning", 2),
            "The estimated EMQ score is 4.9 of 10 now, was below 4.0 (critical), alert since "
            "2026-11-24 10:15 UTC; becomes a warning after 2 more checks without a critical "
            "value. ",
        ),
        (
            "dead_letters",
            0,
            0,
            Recovery("ok", 2),
            "Events that became dead letters lately: 0 now (critical), alert since 2026-11-24 "
            "10:15 UTC; ends after 2 more healthy checks. ",
        ),
    ],
)
def test_while_it_recovers_a_message_says_what_is_and_what_was(
    alert_type: AlertType, value: float, threshold: float, recovery: Recovery, begins: str
) -> None:
    facts = AlertFacts(alert_type, "critical", value, threshold, SINCE, recovery=recovery)
    assert alert_message(facts).startswith(begins)


def test_a_title_does_not_call_what_got_better_still_critical() -> None:
    facts = replace(EMQ, value=4.9, recovery=Recovery("warning", 1))
    told = notification(DueMessage("reminder", "critical", "k"), facts, now=SINCE, alert_id=None)
    assert told.title == (
        "Critical alert, now better: the estimated EMQ score is 4.9 of 10 now, was below 4.0"
    )


def test_a_threshold_of_zero_is_not_worth_a_word() -> None:
    text = alert_message(AlertFacts("dead_letters", "warning", 3, 0, SINCE))
    assert text.startswith(
        "Events that became dead letters and are not tried again by themselves: 3 (warning)"
    )


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("started", "Critical: the estimated EMQ score is 3.6 of 10, below 4.0"),
        ("worsened", "Worse, now critical: the estimated EMQ score is 3.6 of 10, below 4.0"),
        ("reminder", "Still critical: the estimated EMQ score is 3.6 of 10, below 4.0"),
        ("ended", "Resolved: the estimated EMQ score is 3.6 of 10"),
    ],
)
def test_the_title_says_what_kind_of_news_it_is(kind: str, title: str) -> None:
    alert_id = uuid4()
    owed = DueMessage(kind, "critical", "the key")
    told = notification(owed, EMQ, now=SINCE, alert_id=alert_id)
    assert told.title == title
    assert (told.alert_id, told.alert_type, told.kind) == (alert_id, "emq_critical", kind)
    assert (told.severity, told.dedupe_key) == ("critical", "the key")


@pytest.mark.parametrize(
    ("lasted", "words"),
    [
        (timedelta(minutes=-5), "Resolved after 0 s,"),
        (timedelta(minutes=45), "Resolved after 45 min,"),
        (timedelta(hours=2, minutes=15), "Resolved after 2 h 15 min,"),
        (timedelta(days=3, hours=4), "Resolved after 3 d 4 h,"),
    ],
)
def test_the_end_says_how_long_it_was(lasted: timedelta, words: str) -> None:
    owed = DueMessage("ended", "critical", "k")
    told = notification(owed, EMQ, now=SINCE + lasted, alert_id=None)
    assert told.body.startswith(words)


def test_an_end_by_hand_does_not_claim_that_all_is_well() -> None:
    facts = AlertFacts("error_rate_critical", "warning", 3.21, 2.0, SINCE, ended_by_hand=True)
    told = notification(DueMessage("ended", "warning", "k"), facts, now=SINCE, alert_id=None)
    assert told.title == "Resolved by hand: the error rate is 3.2 %, above 2.0 %"
    assert told.body.startswith("Resolved by hand after 0 s")


FAILING = failing_reason(requests=10, failures=9)
REFUSING = refusing_reason("invalid parameter")


@pytest.mark.parametrize(
    ("reasons", "begins"),
    [
        ([], "Fix the token"),
        (["190: token expired"], "Fix the token"),
        ([None], "Fix the token"),
        ([FAILING], "The destination fails"),
        ([FAILING, FAILING], "The destination fails"),
        ([FAILING, away_reason(3)], "The destination fails"),
        ([REFUSING], "Check its URL"),
        ([FAILING, "190: token expired"], "Each reason has its own remedy"),
    ],
)
def test_what_to_do_about_a_pause_follows_from_its_reason(
    reasons: list[str | None], begins: str
) -> None:
    causes = paused_causes(dict(zip("ab", reasons, strict=False)))
    facts = AlertFacts("destination_paused", "critical", 1, 0, SINCE, causes=causes)
    what, next_step = what_and_next_step("destination_paused", alert_message(facts))
    assert next_step.startswith(begins)
    assert begins not in what


@pytest.mark.parametrize(
    ("reason", "begins"),
    [
        ("190: token expired", "Fix the token"),
        (FAILING, "The destination fails"),
        (REFUSING, "Check its URL"),
    ],
)
def test_a_pause_that_delivery_told_gets_its_next_step(reason: str, begins: str) -> None:
    told = f"meta_capi is paused: {reason}. Its events wait unspent."
    what, next_step = what_and_next_step("destination_paused", told)
    assert what == told
    assert next_step.startswith(begins)


@pytest.mark.parametrize(
    "failure",
    [failure for failure in Failure if failure.outcome == "paused"],
    ids=lambda failure: failure.code,
)
def test_a_pause_says_its_public_code_and_the_remedy(failure: Failure) -> None:
    reason = "190: Error validating access token"
    told_by_delivery = pause_message("meta_capi", reason, failure)
    causes = paused_causes({"meta_capi": told_reason(failure.code, reason)})
    facts = AlertFacts("destination_paused", "critical", 1, 0, SINCE, causes=causes)

    for message in (told_by_delivery, alert_message(facts)):
        what, next_step = what_and_next_step("destination_paused", message)
        assert f"{failure.code}: {reason}" in what
        assert next_step == f"{failure.remedy} {UNSPENT}."
        assert failure.remedy not in what


def test_pauses_with_different_failures_are_told_as_such() -> None:
    causes = paused_causes(
        {
            "meta_capi": told_reason(Failure.META_TOKEN_EXPIRED.code, "190/463: expired"),
            "gtm_server": told_reason(Failure.GTM_PATH_UNKNOWN.code, "400: no client"),
        }
    )
    facts = AlertFacts("destination_paused", "critical", 2, 0, SINCE, causes=causes)

    assert "Each reason has its own remedy" in alert_message(facts)


def test_dead_letters_are_told_by_destination_and_reason() -> None:
    owed = DueMessage("digest", "warning", "k")
    one = digest(owed, [DeadLetterBatch("meta_capi", "token expired", 37)])
    assert one.title == "37 events to meta_capi: token expired"
    several = digest(
        owed,
        [
            DeadLetterBatch("gtm_server", "expired", 1),
            DeadLetterBatch("meta_capi", "token expired", 37),
        ],
    )
    assert several.title == "New dead letters: 38 events"
    assert several.body.splitlines()[1:3] == [
        "37 events to meta_capi: token expired",
        "1 event to gtm_server: expired",
    ]


def test_a_digest_names_each_public_code_and_says_its_remedy_once() -> None:
    code = Failure.META_EVENT_INVALID.code
    told = digest(
        DueMessage("digest", "warning", "k"),
        [
            DeadLetterBatch("meta_capi", "refused by Meta: 100/1", 2, code),
            DeadLetterBatch("meta_capi", "refused by Meta: 100/2", 1, code),
            DeadLetterBatch("meta_capi", "the site's own words", 1),
        ],
    )

    assert f"2 events to meta_capi: refused by Meta: 100/1 ({code})" in told.body
    assert told.body.count(f"{code}: {Failure.META_EVENT_INVALID.remedy}") == 1


@pytest.mark.parametrize(
    ("counts", "failure"),
    [
        ([("meta_capi", "max_retries", 2, None)], "RETRIES_USED_UP"),
        ([("meta_capi", "max_retries", 2, "META_UNAVAILABLE")], "META_UNAVAILABLE"),
        ([("meta_capi", "a", 1, "META_UNAVAILABLE"), ("meta_capi", "a ", 1, None)], ""),
        ([("meta_capi", "190", 2, None)], ""),
        ([("meta_capi", "190", 2, "OF_A_LATER_VERSION")], ""),
    ],
)
def test_a_batch_has_the_public_code_that_all_of_its_events_have(
    counts: list[tuple[str, str, int, str | None]], failure: str
) -> None:
    (batch,) = batches_of(counts)

    assert batch.failure == failure


def test_a_hundred_reasons_are_summed_up() -> None:
    told = dead_letter_causes([DeadLetterBatch("meta_capi", f"reason {n}", 2) for n in range(100)])
    assert len(told) == 11
    assert told[-1] == "180 events for other reasons"


@pytest.mark.parametrize(
    "reason",
    [
        "rejected ada@example.com",
        "phone +1 650 555 1212 is bad",
        "?email=ada%40example.com&x=1",
        '{"email": "ada@example.com"}',
    ],
)
def test_a_reason_that_quotes_a_person_does_not_go_on(reason: str) -> None:
    for text in (
        *dead_letter_causes([DeadLetterBatch("meta_capi", reason, 1)]),
        *paused_causes({"meta_capi": reason}),
    ):
        assert "ada" not in text
        assert "555" not in text


def test_a_reason_is_one_short_line() -> None:
    assert plain_reason("a\n  b.") == "a b"
    assert plain_reason(None) == plain_reason("  ") == "no reason on record"
    assert len(plain_reason("x" * 10_000)) == 160


def test_the_cause_is_the_key_that_cost_most_and_not_the_one_that_fell_most() -> None:
    before = {"em": 80.0, "zp": 90.0, "fbp": 100.0}
    after = {"em": 40.0, "zp": 0.0, "fbp": 99.0}
    assert fallen_key(after, before, SATURATING_WEIGHTS) == "em"
    assert fallen_key({**after, "em": 80.0}, before, SATURATING_WEIGHTS) == "zp"
    assert fallen_key(before, before, SATURATING_WEIGHTS) is None
    assert fallen_key({}, {}, SATURATING_WEIGHTS) is None


def test_a_key_that_the_model_does_not_count_is_no_cause() -> None:
    assert fallen_key({"em": 0.0}, {"em": 90.0}, {"em": 0.0, "ph": 1.0}) is None


def test_causes_of_a_low_score_name_what_fell_and_what_would_help() -> None:
    with_email, without = mask_of(["em", "fbp"]), mask_of(["fbp"])
    before = score({"Lead": {with_email: 80, without: 20}}, "saturating")
    now = score({"Lead": {with_email: 40, without: 60}}, "saturating")
    fell, help_ = emq_causes(now, before, SATURATING_WEIGHTS)
    assert fell == "e-mail (em) fell from 80 % to 40 % of the events"
    assert help_ == (
        "IP address and user agent (client_ip_address, client_user_agent) with every event would "
        "add 2.1"
    )
    assert emq_causes(now, None, SATURATING_WEIGHTS) == (help_,)
    assert emq_causes(score({}, "saturating"), before, SATURATING_WEIGHTS) == ()


def test_the_destination_with_most_events_is_named() -> None:
    assert destination_causes({"meta_capi": 12, "gtm_server": 2}) == (
        "12 of 14 events are for meta_capi",
    )
    assert destination_causes({}) == destination_causes({"meta_capi": 0}) == ()


def test_an_event_for_two_destinations_counts_once_in_the_total() -> None:
    assert destination_causes({"meta_capi": 4, "gtm_server": 3}, 5) == (
        "4 of 5 events are for meta_capi",
    )


def test_of_two_destinations_with_as_many_events_none_is_the_cause() -> None:
    assert destination_causes({"meta_capi": 4, "gtm_server": 4, "google_ads": 1}) == ()


def test_every_type_of_alert_has_a_runbook_and_none_is_of_a_type_that_is_gone() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    runbooks = re.findall(
        r"^### `(\w+)`\n\n- Cause: .+\n- Look at: .+\n- Do: .+$", text, re.MULTILINE
    )
    assert sorted(runbooks) == sorted(alert_types())
    assert sorted(re.findall(r"^### `(\w+)`", text, re.MULTILINE)) == sorted(runbooks)
