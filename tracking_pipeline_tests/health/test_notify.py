"""Alerts on their way out: at least once, once without a fault, and never in each other's way."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.rows import dict_row
from pydantic import SecretStr

from tracking_pipeline.health.notifications.channels import Channel, Message, read_channels, send
from tracking_pipeline.health.notifications.notify import (
    LONGEST_WAIT_SECONDS,
    NotifyTotals,
    deliver_notifications,
    resend_wait_seconds,
)
from tracking_pipeline.health.view.summary import (
    NOBODY_SENDS,
    SilentChannel,
    read_silent_channels,
)
from tracking_pipeline.store.alert_notifications import (
    Kind,
    Notification,
    enqueue,
    owe_new_channels,
    read_outbox,
)
from tracking_pipeline.store.alerts import raise_alert, resolve_alert, silence_alert
from tracking_pipeline.store.database import Database
from tracking_pipeline_tests.health.sinks import SECRET, Mailbox, Webhook, mailbox, webhook

NOBODY_LISTENS = "json://127.0.0.1:1/t0kenOfADeadChannel"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


@pytest.fixture
def mails() -> Iterator[Mailbox]:
    with mailbox() as running:
        yield running


def channels(*urls: str) -> tuple[Channel, ...]:
    return read_channels(SecretStr(",".join(urls)))


def owed(title: str, kind: Kind = "started", alert_id: UUID | None = None) -> Notification:
    return Notification(
        alert_id or uuid4(), "dead_letters", kind, "critical", title, "What to do.", f"key {title}"
    )


class Outbox:
    """The outbox as a test sees it."""

    def __init__(self, connection: psycopg.Connection[Any], url: str) -> None:
        self.connection = connection
        self._url = url

    def owe(self, told: tuple[Channel, ...], *notifications: Notification) -> int:
        with self.connection.transaction():
            return enqueue(self.connection, notifications, [each.name for each in told])

    def deliver(
        self, told: tuple[Channel, ...], *, rehearsal: bool = False, **options: Any
    ) -> NotifyTotals:
        database = Database(self._url, "the test's database", rehearsal)
        return deliver_notifications(database, told, **options)

    def rows(self) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(
                "select *, extract(epoch from next_attempt_at - now())::float8 as wait_seconds"
                " from tracking_alert_notifications order by id"
            ).fetchall()

    def let_time_pass(self) -> None:
        """Until all waits and leases are over."""
        self.connection.execute(
            "update tracking_alert_notifications set lease_expires_at = now() - interval '1 s'"
            " where lease_expires_at is not null"
        )
        self.connection.execute(
            "update tracking_alert_notifications set next_attempt_at = now()"
            " where next_attempt_at is not null"
        )


@pytest.fixture
def outbox(connection: psycopg.Connection, database_url: str) -> Outbox:
    return Outbox(connection, database_url)


def test_a_message_reaches_each_channel_once(outbox: Outbox, hook: Webhook, mails: Mailbox) -> None:
    told = channels(hook.url, mails.url)
    outbox.owe(told, owed("Tracking is down"))
    totals = outbox.deliver(told)
    assert (totals.sent, totals.failed, totals.waiting) == (2, 0, 0)
    assert outbox.deliver(told).sent == 0
    assert hook.titles == ["Tracking is down"]
    assert [subject for subject, _ in mails.received] == ["Tracking is down"]
    assert "What to do." in mails.received[0][1]
    assert hook.received[0]["type"] == "failure"


@pytest.mark.parametrize(
    ("options", "line_end"), [("", "\n"), ("&format=text", "\n"), ("&format=html", "<br/>")]
)
def test_a_mail_keeps_the_lines_of_its_message_and_its_special_characters(
    mails: Mailbox, options: str, line_end: str
) -> None:
    (mail,) = channels(mails.url + options)
    send(mail, Message("1 < 2 & 3", "The first line.\n* a < b & c\n\nThe last.", "warning"))

    ((subject, body),) = mails.received
    assert subject == "1 < 2 & 3"
    text = unescape(body).replace("\N{NO-BREAK SPACE}", " ")
    assert [line.strip() for line in text.strip().split(line_end)] == [
        "The first line.",
        "* a < b & c",
        "",
        "The last.",
    ]


def test_what_waits_together_is_one_message(outbox: Outbox, hook: Webhook) -> None:
    told = channels(hook.url)
    outbox.owe(told, owed("One"), owed("Two"), owed("Three", "ended"))
    assert outbox.deliver(told).sent == 3
    assert hook.titles == ["3 tracking alerts: 2 critical, 1 over"]
    body = hook.received[0]["message"]
    assert body.index("One") < body.index("Two") < body.index("Three")


def test_a_rehearsal_says_so(outbox: Outbox, hook: Webhook) -> None:
    told = channels(hook.url)
    outbox.owe(told, owed("Sample data is down"))
    outbox.deliver(told, rehearsal=True)
    assert hook.titles == ["[rehearsal] Sample data is down"]


def test_a_state_is_owed_once_however_often_it_is_found(outbox: Outbox, hook: Webhook) -> None:
    told = channels(hook.url)
    assert outbox.owe(told, owed("Again"), owed("Again")) == 1
    outbox.deliver(told)
    assert outbox.owe(told, owed("Again")) == 0
    outbox.deliver(told)
    assert hook.titles == ["Again"]


def test_a_channel_that_is_down_holds_up_no_other_and_is_tried_again(
    outbox: Outbox, hook: Webhook
) -> None:
    told = channels(NOBODY_LISTENS, hook.url)
    outbox.owe(told, owed("Down"))
    totals = outbox.deliver(told)
    assert hook.titles == ["Down"]
    assert (totals.sent, totals.failed, totals.waiting) == (1, 1, 1)
    failed, _ = outbox.rows()
    assert failed["attempts"] == 1
    assert 50 < failed["wait_seconds"] <= 60
    outbox.deliver(told)
    assert outbox.rows()[0]["attempts"] == 1
    outbox.let_time_pass()
    outbox.deliver(told)
    failed = outbox.rows()[0]
    assert failed["attempts"] == 2
    assert 110 < failed["wait_seconds"] <= 120
    assert hook.titles == ["Down"]


def test_a_channel_that_refuses_gets_the_message_later_with_what_came_meanwhile(
    outbox: Outbox, hook: Webhook
) -> None:
    told = channels(hook.url)
    hook.statuses = [500]
    outbox.owe(told, owed("First"))
    assert outbox.deliver(told).failed == 1
    outbox.owe(told, owed("Second"))
    assert outbox.deliver(told).sent == 2
    assert hook.titles == ["First", "2 tracking alerts: 2 critical"]


def test_a_channel_that_never_answers_holds_up_nothing(outbox: Outbox, hook: Webhook) -> None:
    with webhook() as hanging:
        hanging.hold = threading.Event()
        told = channels(hanging.url, hook.url)
        outbox.owe(told, owed("Hello"))
        totals = outbox.deliver(told, send_seconds=2.0)
        assert hook.titles == ["Hello"]
        assert (totals.sent, totals.failed) == (1, 1)
        assert totals.by_channel[told[0].name].error.endswith("did not answer in time")


def test_passes_at_the_same_time_send_each_message_once(outbox: Outbox, hook: Webhook) -> None:
    told = channels(hook.url)
    outbox.owe(told, owed("Once"))
    with ThreadPoolExecutor(4) as executor:
        passes = [executor.submit(outbox.deliver, told) for _ in range(4)]
        assert sum(each.result().sent for each in passes) == 1
    assert hook.titles == ["Once"]


def test_the_end_of_an_episode_never_overtakes_its_start(outbox: Outbox, hook: Webhook) -> None:
    told = channels(hook.url)
    hook.hold, came = threading.Event(), threading.Event()
    hook.on_request = came.set
    outbox.owe(told, owed("Starts"))
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(outbox.deliver, told)
        assert came.wait(30)
        outbox.owe(told, owed("Ends", "ended"))
        assert outbox.deliver(told).sent == 0
        hook.hold.set()
        assert first.result().sent == 1
    assert outbox.deliver(told).sent == 1
    assert hook.titles == ["Starts", "Ends"]


def test_a_process_killed_while_it_sends_loses_no_message(
    outbox: Outbox, hook: Webhook, database_url: str
) -> None:
    told = channels(hook.url)
    outbox.owe(told, owed("Survives"))
    script = (
        "import sys; from pydantic import SecretStr\n"
        "from tracking_pipeline.health.notifications.channels import read_channels\n"
        "from tracking_pipeline.health.notifications.notify import deliver_notifications\n"
        "from tracking_pipeline.store.database import Database\n"
        "database = Database(sys.argv[1], 'the test database')\n"
        "deliver_notifications(database, read_channels(SecretStr(sys.argv[2])))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, database_url, hook.url])
    hook.on_request = lambda: os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    hook.on_request = lambda: None
    assert outbox.deliver(told).sent == 0  # its lease still stands
    outbox.let_time_pass()
    assert outbox.deliver(told).sent == 1
    assert hook.titles == ["Survives", "Survives"]
    assert outbox.rows()[0]["sent_at"] is not None


def test_what_a_removed_channel_was_owed_is_closed_with_a_note(
    outbox: Outbox, hook: Webhook, mails: Mailbox
) -> None:
    both = channels(hook.url, mails.url)
    outbox.owe(both, owed("Gone"))
    totals = outbox.deliver(channels(hook.url))
    assert (totals.sent, totals.closed, totals.waiting) == (1, 1, 0)
    _, closed = outbox.rows()
    assert closed["sent_at"] is None
    assert closed["last_error"] == "the channel is no longer in ALERT_CHANNELS"
    assert outbox.deliver(both).sent == 0


def test_a_channel_whose_url_was_corrected_gets_what_the_old_one_was_owed(
    outbox: Outbox, hook: Webhook
) -> None:
    wrong, right = channels(NOBODY_LISTENS), channels(hook.url)
    outbox.owe(wrong, owed("Late"))
    assert outbox.deliver(wrong).failed == 1
    assert outbox.deliver(right).sent == 1
    assert hook.titles == ["Late"]


def test_what_waits_for_a_channel_that_is_gone_goes_to_those_that_were_not_told(
    outbox: Outbox, hook: Webhook, mails: Mailbox
) -> None:
    """Whatever their kind, and it is due at once."""
    old, told, new = channels(NOBODY_LISTENS), channels(hook.url), channels(mails.url)
    outbox.owe(old + told, owed("For all"))
    assert outbox.deliver(old + told).sent == 1
    left = channels(hook.url, mails.url)
    assert read_outbox(outbox.connection, [each.name for each in old + told]).due == 0
    assert read_outbox(outbox.connection, [each.name for each in left]).due == 1
    assert outbox.deliver(left).by_channel[new[0].name].sent == 1
    assert hook.titles == [subject for subject, _ in mails.received] == ["For all"]


def test_a_new_channel_is_told_what_is_open_once(
    outbox: Outbox, hook: Webhook, mails: Mailbox
) -> None:
    first, both = channels(hook.url), channels(hook.url, mails.url)
    ids = dict.fromkeys(("emq_critical", "no_data", "dead_letters", "destination_paused"))
    for alert_type in ids:
        ids[alert_type] = raise_alert(
            outbox.connection, alert_type, severity="critical", message="m", value=1, threshold=0
        )
    outbox.owe(first, *(owed(name, alert_id=of) for name, of in ids.items()))
    outbox.owe(first, owed("still no data", "reminder", alert_id=ids["no_data"]))
    outbox.deliver(first)
    resolve_alert(outbox.connection, "dead_letters")
    until = datetime.now(timezone.utc) + timedelta(hours=1)
    silence_alert(outbox.connection, "emq_critical", until=until, note=None)
    names = [each.name for each in both]
    assert owe_new_channels(outbox.connection, names) == 2
    assert owe_new_channels(outbox.connection, names) == 0
    assert outbox.deliver(both).sent == 2
    ((subject, body),) = mails.received
    assert subject == "2 tracking alerts: 2 critical"
    assert "still no data" in body
    assert "destination_paused" in body
    assert owe_new_channels(outbox.connection, names) == 0


class Silent:
    """Who is named as not reached, with these channels in ALERT_CHANNELS."""

    def __init__(self, outbox: Outbox, told: tuple[Channel, ...]) -> None:
        self._outbox, self._told = outbox, told

    def channels(self) -> list[SilentChannel]:
        positions = {each.name: each.position for each in self._told}
        return read_silent_channels(self._outbox.connection, positions)


def test_a_channel_that_takes_nothing_is_seen_until_it_does(outbox: Outbox, hook: Webhook) -> None:
    told = channels(NOBODY_LISTENS, hook.url)
    silent = Silent(outbox, told)
    hook.statuses = [404, 404]
    for title in ("First", "Second"):
        outbox.owe(told, owed(title))
        outbox.deliver(told)
        outbox.let_time_pass()
    gone, refusing = silent.channels()
    assert [(each.position, each.channel, each.waiting) for each in (gone, refusing)] == [
        (1, told[0].name, 2),
        (2, told[1].name, 2),
    ]
    assert "error=404" in refusing.reason
    assert refusing.since == outbox.rows()[0]["created_at"]
    assert SECRET not in str(refusing.as_json())
    outbox.deliver(told)
    assert silent.channels() == [replace(gone, reason=silent.channels()[0].reason)]


def test_what_was_given_up_is_seen_until_the_channel_takes_something_newer(
    outbox: Outbox, hook: Webhook
) -> None:
    told = channels(hook.url)
    silent = Silent(outbox, told)
    hook.statuses = [500]
    outbox.owe(told, owed("Old"))
    outbox.deliver(told)
    outbox.connection.execute(
        "update tracking_alert_notifications set created_at = now() - interval '4 days'"
    )
    outbox.deliver(told)
    (found,) = silent.channels()
    assert (found.waiting, found.given_up) == (0, 1)
    assert "too old to be news" in found.reason
    outbox.owe(told, owed("New"))
    outbox.deliver(told)
    assert silent.channels() == []


@pytest.mark.parametrize(("seconds", "seen"), [(60, 0), (180, 1)])
def test_a_message_that_nobody_tries_to_send_is_seen(
    outbox: Outbox, hook: Webhook, seconds: int, seen: int
) -> None:
    told = channels(hook.url)
    outbox.owe(told, owed("Waits"))
    outbox.connection.execute(
        "update tracking_alert_notifications set next_attempt_at = now() - %s",
        (timedelta(seconds=seconds),),
    )
    found = Silent(outbox, told).channels()
    assert len(found) == seen
    assert all(each.reason == NOBODY_SENDS for each in found)


def test_a_channel_that_was_away_and_is_back_is_not_blamed(outbox: Outbox, hook: Webhook) -> None:
    told = channels(hook.url)
    outbox.owe(told, owed("Closed"))
    outbox.deliver(())
    assert Silent(outbox, told).channels() == []


def test_old_news_is_closed_and_not_sent(outbox: Outbox, hook: Webhook) -> None:
    told = channels(hook.url)
    outbox.owe(told, owed("Old"))
    outbox.connection.execute(
        "update tracking_alert_notifications set created_at = now() - interval '4 days'"
    )
    assert outbox.deliver(told).closed == 1
    assert hook.titles == []
    assert outbox.rows()[0]["last_error"] == "given up: too old to be news"


@pytest.mark.parametrize(
    "bad", ["nosuchservice://t0kenOfTheBadOne/x", "just words", "slack://t0kenOfTheBadOne"]
)
def test_a_url_that_cannot_be_used_is_named_by_its_position(
    outbox: Outbox, hook: Webhook, caplog: pytest.LogCaptureFixture, bad: str
) -> None:
    told = channels(bad, hook.url)
    outbox.owe(told, owed("Told"))
    caplog.set_level(logging.DEBUG)
    totals = outbox.deliver(told)
    assert hook.titles == ["Told"]
    (line,) = totals.unusable
    assert line.startswith("channel 1 of ALERT_CHANNELS (")
    assert "t0kenOfTheBadOne" not in line + caplog.text + str(outbox.rows())


def test_no_url_is_ever_written_down(
    outbox: Outbox,
    hook: Webhook,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    told = channels(hook.url, NOBODY_LISTENS)
    hook.statuses = [403]
    outbox.owe(told, owed("Quiet"))
    caplog.set_level(logging.DEBUG)
    totals = outbox.deliver(told)
    assert totals.failed == 2
    assert "error=403" in totals.by_channel[told[0].name].error
    streams = capfd.readouterr()
    everything = f"{caplog.text}{streams.out}{streams.err}{totals}{outbox.rows()}{told}"
    assert SECRET not in everything
    assert "t0kenOfADeadChannel" not in everything


def test_channels_are_read_with_commas_inside_their_urls_and_each_once() -> None:
    found = channels(
        "mailto://a:b@example.com?to=x@example.com,y@example.com", " json://h/p", "json://h/p"
    )
    assert [each.position for each in found] == [1, 2]
    assert [each.name.split("-")[0] for each in found] == ["mailto", "json"]
    assert found[0].url.get_secret_value().endswith("x@example.com,y@example.com")
    assert read_channels(None) == read_channels(SecretStr(" , ")) == ()


@given(st.integers(1, 10_000))
def test_the_wait_grows_up_to_an_hour(attempts: int) -> None:
    wait = resend_wait_seconds(attempts)
    assert resend_wait_seconds(1) <= wait <= resend_wait_seconds(attempts + 1)
    assert resend_wait_seconds(attempts + 1) <= LONGEST_WAIT_SECONDS
