"""What one message says when several wait."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.health.notifications.notify import MOST_TOLD, message_of
from tracking_pipeline.store.alert_notifications import WEEKLY_DIGEST, Claimed, Kind

ALERTS = [uuid4(), uuid4()]


def row(
    number: int, kind: Kind = "started", severity: str = "critical", alert: UUID = ALERTS[0]
) -> Claimed:
    return Claimed(number, 1, alert, "dead_letters", kind, severity, f"Title {number}.", "Body.", 1)


def test_one_row_is_told_as_it_is() -> None:
    message = message_of([row(1)])
    assert (message.title, message.body, message.tone) == ("Title 1.", "Body.", "failure")


def test_a_reminder_that_was_overtaken_is_not_told() -> None:
    message = message_of([row(1, "reminder"), row(2, "reminder"), row(3, "ended")])
    assert (message.title, message.tone) == ("Title 3.", "success")


def test_the_worst_that_goes_on_gives_the_tone() -> None:
    over, warning = row(1, "ended"), row(2, severity="warning", alert=ALERTS[1])
    assert message_of([over, warning]).tone == "warning"
    assert message_of([over, warning, row(3, alert=uuid4())]).tone == "failure"
    assert message_of([warning]).tone == "warning"


def test_the_digest_of_a_week_is_no_alert() -> None:
    digest = replace(row(1, "digest", "ok"), alert_type=WEEKLY_DIGEST, alert_id=None)
    assert message_of([digest]).tone == "success"
    assert (
        message_of([row(2), digest]).title == "1 tracking alert: 1 critical; and the week's digest"
    )


def test_a_flood_is_cut_and_says_so() -> None:
    message = message_of([row(number, alert=uuid4()) for number in range(MOST_TOLD + 5)])
    assert message.title == f"{MOST_TOLD + 5} tracking alerts: {MOST_TOLD + 5} critical"
    assert message.body.endswith("... and 5 more")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["started", "worsened", "ended", "reminder", "digest"]),
            st.sampled_from(ALERTS),
        ),
        min_size=1,
        max_size=MOST_TOLD,
    )
)
def test_everything_but_reminders_is_told_and_the_last_word_of_each_alert(
    states: list[tuple[Kind, UUID]],
) -> None:
    rows = [row(number, kind, alert=alert) for number, (kind, alert) in enumerate(states)]
    message = message_of(rows)
    told = message.title + "\n" + message.body
    last = {each.alert_id: each for each in rows}
    for each in rows:
        assert (each.title in told) == (each.kind != "reminder" or each in last.values())
