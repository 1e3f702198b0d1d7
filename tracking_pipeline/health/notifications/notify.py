"""Sends what the outbox owes: the service that the job calls. One pass over all channels.

    claim (lease)  ->  send, each channel in a thread of its own  ->  mark sent, or failed

At least once: a row is marked after its channel took it, so a process that is killed in between
sends it again when the lease has ended. Without such a fault each row is sent once, because only
one process holds its lease. A channel that fails or hangs is tried again after a growing wait, and
the others never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg
from pydantic import SecretStr

from tracking_pipeline.health.formatting import count_of
from tracking_pipeline.health.notifications.channels import (
    Channel,
    ChannelError,
    Message,
    Tone,
    UnusableChannelError,
    send,
)
from tracking_pipeline.store.alert_notifications import (
    LEASE_SECONDS,
    WEEKLY_DIGEST,
    Claimed,
    claim_open,
    close_absent_channels,
    close_stale,
    mark_failed,
    mark_notified,
    read_outbox,
)
from tracking_pipeline.store.database import Database, DatabaseError, connect

# Half the lease: what is given up here is marked failed while it is still ours.
SEND_SECONDS = LEASE_SECONDS / 2
FIRST_WAIT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 3600.0
# More would be cut by some services, and read by nobody.
MOST_TOLD = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChannelTotals:
    """One channel in one pass. ``sent`` and ``failed`` count rows; all of a channel's rows are one
    message. ``error`` says why it failed and holds nothing of the URL."""

    sent: int = 0
    failed: int = 0
    error: str = ""
    unusable: bool = False


@dataclass(frozen=True, slots=True)
class NotifyTotals:
    """One pass over the outbox, in rows. ``closed`` will not be sent: their channel is gone, or
    they are too old. ``waiting`` is what is still open at the end."""

    by_channel: Mapping[str, ChannelTotals] = field(default_factory=dict)
    closed: int = 0
    waiting: int = 0
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        return sum(each.sent for each in self.by_channel.values())

    @property
    def failed(self) -> int:
        return sum(each.failed for each in self.by_channel.values())

    @property
    def unusable(self) -> tuple[str, ...]:
        """What is wrong with the setting itself, a line for each channel that cannot be used."""
        return tuple(each.error for each in self.by_channel.values() if each.unusable)

    def as_json(self) -> dict[str, Any]:
        return {
            "success": not self.unusable,
            "sent": self.sent,
            "failed": self.failed,
            "closed": self.closed,
            "waiting": self.waiting,
            "by_channel": {name: asdict(each) for name, each in self.by_channel.items()},
            "seconds": round(self.seconds, 3),
        }


def resend_wait_seconds(attempts: int) -> float:
    """The wait after so many failed attempts: 1, 2, 4, ... minutes, an hour at most."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 10), LONGEST_WAIT_SECONDS)


def deliver_notifications(
    database: Database, channels: Sequence[Channel], *, send_seconds: float = SEND_SECONDS
) -> NotifyTotals:
    """One pass over the outbox of the database: each channel gets what is due for it as
    one message, all channels at once. Ends after ``send_seconds`` at the latest, whatever hangs.

    Raises :class:`DatabaseError`; what a channel does is a result and never an error.
    """
    started = time.monotonic()
    try:
        with connect(database.url) as connection:
            closed = close_absent_channels(connection, [channel.name for channel in channels])
            closed += close_stale(connection)
            claimed = {channel: claim_open(connection, channel.name) for channel in channels}
            messages = {
                channel: message_of(rows, is_rehearsal=database.rehearsal)
                for channel, rows in claimed.items()
                if rows
            }
            by_channel = _send_all(connection, messages, claimed, send_seconds)
            left = read_outbox(connection, [channel.name for channel in channels])
            waiting = left.due + left.waiting
    except psycopg.Error as error:
        raise DatabaseError(
            f"the database failed while alerts were sent (SQLSTATE {error.sqlstate or 'none'}): "
            "what is not marked as sent is sent again within two minutes"
        ) from None
    return NotifyTotals(by_channel, closed, waiting, time.monotonic() - started)


def _send_all(
    connection: psycopg.Connection[Any],
    messages: Mapping[Channel, Message],
    claimed: Mapping[Channel, list[Claimed]],
    send_seconds: float,
) -> dict[str, ChannelTotals]:
    """Sends to all channels at once, and marks each as soon as its own end is known."""
    deadline = time.monotonic() + send_seconds
    channel_of = {_start(channel, message): channel for channel, message in messages.items()}
    totals: dict[str, ChannelTotals] = {}
    left = set(channel_of)
    while left:
        ended, left = wait(left, max(deadline - time.monotonic(), 0), FIRST_COMPLETED)
        if not ended:  # a thread cannot be ended: what hangs is left behind, and counts as failed
            ended, left = left, set()
        for future in ended:
            channel = channel_of[future]
            totals[channel.name] = _mark(connection, channel, claimed[channel], future)
    return {channel.name: totals[channel.name] for channel in messages}


def _start(channel: Channel, message: Message) -> Future[None]:
    """Sends in a thread that does not keep the process alive: a service that never answers must
    not keep a run from ending."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            send(channel, message)
        except Exception as error:  # told to whoever waits for the future
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name=f"notify {channel.name}", daemon=True).start()
    return future


def _mark(
    connection: psycopg.Connection[Any],
    channel: Channel,
    rows: Sequence[Claimed],
    future: Future[None],
) -> ChannelTotals:
    if not future.done():
        error: BaseException | None = ChannelError(f"{channel.name} did not answer in time")
    else:
        error = future.exception()
    if error is None:
        return ChannelTotals(sent=mark_notified(connection, rows))
    # Of our own errors the words are clean; of any other, only its kind.
    words = str(error) if isinstance(error, ChannelError) else type(error).__name__
    log.warning("%s; it is tried again", words)
    attempts = max(row.attempts for row in rows)
    failed = mark_failed(connection, rows, error=words, wait_seconds=resend_wait_seconds(attempts))
    return ChannelTotals(
        failed=failed, error=words, unusable=isinstance(error, UnusableChannelError)
    )


def message_of(rows: Sequence[Claimed], *, is_rehearsal: bool = False) -> Message:
    """The message that tells all these rows, oldest first; there is at least one.

    A reminder is left out where a later row tells of the same alert. That of a rehearsal says so in
    its title: nobody should get up at night for sample data.
    """
    told = [row for at, row in enumerate(rows) if not _is_overtaken(row, rows[at + 1 :])]
    tone = _tone(told)
    mark = "[rehearsal] " if is_rehearsal else ""
    if len(told) == 1:
        return Message(mark + told[0].title, told[0].body, tone)
    parts = [f"{row.title}\n{row.body}".strip() for row in told[:MOST_TOLD]]
    if len(told) > MOST_TOLD:
        parts.append(f"... and {len(told) - MOST_TOLD} more")
    return Message(mark + _heading(told), "\n\n".join(parts), tone)


def _is_overtaken(row: Claimed, later: Sequence[Claimed]) -> bool:
    return row.kind == "reminder" and any(
        (each.alert_type, each.alert_id) == (row.alert_type, row.alert_id) for each in later
    )


def _tone(rows: Sequence[Claimed]) -> Tone:
    severities = {row.severity for row in rows if row.kind != "ended"}
    if "critical" in severities:
        return "failure"
    return "warning" if "warning" in severities else "success"


def _heading(rows: Sequence[Claimed]) -> str:
    """As in "3 tracking alerts: 2 critical, 1 over"."""
    alerts = [row for row in rows if row.alert_type != WEEKLY_DIGEST]
    counts = Counter("over" if row.kind == "ended" else row.severity for row in alerts)
    parts = [f"{counts[name]} {name}" for name in ("critical", "warning", "over") if counts[name]]
    heading = f"{count_of(len(alerts), 'tracking alert')}: {', '.join(parts)}"
    return heading if len(alerts) == len(rows) else f"{heading}; and the week's digest"


# Tells a service elsewhere that a health check came: when no ping comes, it alerts.
#
# It is the only part that speaks up when this machine is gone. What healthchecks.io, Cronitor,
# Better Stack and Uptime Kuma give as the address of a check is such a URL: a GET of it is the
# ping.


def ping(url: SecretStr) -> bool:
    """Asks the URL once; whether it answered with a 2xx. Fails open: a switch that cannot be
    reached alerts by itself, and the check it was about is recorded already. The URL is the secret
    by which the service knows who pings: nothing of it is logged."""
    return asyncio.run(_ping(url.get_secret_value()))


async def _ping(url: str) -> bool:
    from tracking_pipeline.http_client import get, http_client  # noqa: PLC0415

    async with http_client(max_connections=1) as client:
        answer = await get(client, url, headers={})
    reached = answer.status is not None and 200 <= answer.status < 300
    if not reached:
        log.warning(
            "DEAD_MANS_SWITCH_URL did not take the ping of this check (%s)",
            answer.fault or f"status {answer.status}",
        )
    return reached
