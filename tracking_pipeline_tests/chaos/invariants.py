"""The fifteen promises that delivery keeps whatever happens: each a function of a history. Pure.

A function gives the violations, one line each; None where the history holds nothing that the
promise speaks of. I1 to I4 are the checks of Jepsen's total queue (lost, unexpected, duplicated,
recovered; https://aphyr.com/posts/315) with the log of attempts added; that each job carries its
scripted answers and the sink's own log is what counts comes from RudderStack's
`TestEventOrderGuarantee`. The others are this project's own, see docs/explanation/delivery.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from tracking_pipeline.delivery.engine.backoff import JITTER_SHARE, wait_seconds
from tracking_pipeline.store.leases import LEASE_SECONDS
from tracking_pipeline_tests.chaos.history import History, Version

TICK_SECONDS = 300.0
# What two statements of two processes may be apart.
GRACE_SECONDS = 1.0
# What a Retry-After with a date may be longer than its fault says.
DATE_SECONDS = 30.0
LEAST_SHARE_BESIDE_A_FAULT = 0.8
LEAST_SHARE_UNDER_A_SNAPSHOT = 0.5
MOST_LAG = 2.0
MOST_PEAK = 1.5

Violations = list[str] | None


@dataclass(frozen=True)
class Invariant:
    """One promise: its number, its words, and how it is checked."""

    number: str
    says: str
    violations: Callable[[History], Violations]


def _nothing_is_lost(history: History) -> Violations:
    found = [] if history.at_rest else ["the queue did not come to rest"]
    for event in history.planned:
        row = history.row_of.get(event.row)
        outcomes = [attempt.outcome for attempt in history.attempts_of.get(event.row, ())]
        if row is None and (event.is_kept or "delivered" not in outcomes):
            found.append(f"{event.destination} {event.row}: gone")
        elif row is not None and row.status not in ("resolved", "dead_letter"):
            if row.status not in ("pending", "retrying", "accepted"):
                found.append(f"{event.row}: in no state ({row.status})")
            elif history.at_rest:
                found.append(f"{event.row}: still {row.status}")
    surplus = set(history.row_of) - {event.row for event in history.planned}
    return found + [f"{row}: in the queue, and nobody put it there" for row in surplus]


def _what_is_delivered_arrived(history: History) -> Violations:
    delivered = [
        event
        for event in history.planned
        if any(attempt.outcome == "delivered" for attempt in history.attempts_of.get(event.row, ()))
        or ((row := history.row_of.get(event.row)) is not None and row.is_delivered)
    ]
    if not delivered:
        return None
    return [
        f"{event.destination} {event.event_id}: delivered, and the sink never accepted it"
        for event in delivered
        if not history.accepted.get((event.destination, event.event_id))
    ]


def _duplicates_are_bounded(history: History) -> Violations:
    if not history.requests and not history.ledger:
        return None
    wanted = Counter((event.destination, event.event_id) for event in history.planned)
    found = [
        f"{destination} {event}: the sink has an event that nobody sent"
        for destination, event in history.accepted
        if (destination, event) not in wanted
    ]
    surplus = {
        key: count - max(wanted[key], 1) - history.untold.get(key, 0)
        for key, count in history.accepted.items()
    }
    more = sum(count for count in surplus.values() if count > 0)
    if more > history.doubtful_events:
        found.append(f"{more} duplicates at the sinks, {history.doubtful_events} were in flight")
    return found


def _both_logs_agree(history: History) -> Violations:
    if not history.attempts:
        return None
    found = []
    for row in history.rows:
        retries = sum(each.outcome == "retry" for each in history.attempts_of.get(row.row, ()))
        if not row.replays and retries != row.retry_count:
            found.append(f"{row.row}: {row.retry_count} retries, {retries} in the log")
        if row.retry_count > row.max_retries:
            found.append(f"{row.row}: {row.retry_count} of {row.max_retries} tries")
    return found + list(_requests_apart(history))


def _requests_apart(history: History) -> Iterator[str]:
    logged: Counter[tuple[str, str]] = Counter()
    for event in history.planned:
        if event.destination != "supabase":
            for attempt in history.attempts_of.get(event.row, ()):
                logged[event.destination, event.event_id] += attempt.requests
    unlogged = {key: count - logged[key] for key, count in history.carried.items()}
    surplus = sum(count for count in unlogged.values() if count > 0)
    if surplus > history.doubtful_events:
        yield f"{surplus} requests at the sinks that no attempt tells of"
    unseen = sum(
        count - history.carried.get(key, 0)
        for key, count in logged.items()
        if key[0] not in history.unreachable and count > history.carried.get(key, 0)
    )
    if unseen > history.doubtful_events:
        yield f"{unseen} requests in the log that no sink received"


def _nothing_is_early(history: History) -> Violations:
    claims = list(history.claims())
    if not claims:
        return None
    found = []
    for before, claim in claims:
        due = before.next_retry_at if before is not None else None
        if due is not None and claim.at < due - GRACE_SECONDS:
            found.append(f"{claim.row}: claimed {due - claim.at:.0f} s before its time")
        standing = history.standing_at(claim.destination, claim.at - GRACE_SECONDS)
        now = history.standing_at(claim.destination, claim.at)
        if standing is None or now is None:
            continue
        if (standing.not_before or 0.0) > claim.at + GRACE_SECONDS:
            found.append(f"{claim.row}: claimed while {claim.destination} was told to wait")
        if standing.state == "open" and now.state == "open":
            found.append(f"{claim.row}: claimed while {claim.destination} was paused")
    return found + list(_sent_without_a_lease(history)) + list(_sent_before_asked(history))


def _sent_without_a_lease(history: History) -> Iterator[str]:
    rows_of: dict[tuple[str, str], list[str]] = {}
    for event in history.planned:
        rows_of.setdefault((event.destination, event.event_id), []).append(event.row)
    for request in history.requests:
        for event in request.event_ids:
            rows = rows_of.get((request.destination, event), ())
            if rows and not any(_is_leased(history, row, request.at) for row in rows):
                yield f"{request.destination} {event}: sent without a lease"


def _is_leased(history: History, row: str, at: float) -> bool:
    """Whether some lease of the row covers this moment, give or take the distance of two clocks."""
    current: Version | None = None
    for version in history.versions_of.get(row, ()):
        if version.at > at + GRACE_SECONDS:
            break
        if version.lease_expires_at is not None:
            current = version
        elif version.at >= at - GRACE_SECONDS or current is None:
            continue
        else:
            current = None
    return current is not None and (current.lease_expires_at or 0.0) >= at - GRACE_SECONDS


def _sent_before_asked(history: History) -> Iterator[str]:
    for asked in history.asked_waits:
        told: dict[str, float] = {}
        for request in history.requests:
            if request.destination != asked.destination:
                continue
            for event in request.event_ids:
                if event in told and request.at < told[event] + asked.seconds - GRACE_SECONDS:
                    early = told[event] + asked.seconds - request.at
                    yield f"{event}: sent {early:.0f} s before the time that Retry-After named"
                if request.answer == asked.answer:
                    told[event] = request.at
                else:
                    told.pop(event, None)


def _the_guilty_alone_pay(history: History) -> Violations:
    guilty = [event for event in history.planned if event.refused]
    if not guilty:
        return None
    found = []
    for event in guilty:
        outcomes = Counter(each.outcome for each in history.attempts_of.get(event.row, ()))
        row = history.row_of.get(event.row)
        replays = row.replays if row is not None else 0
        if outcomes["rejected"] + outcomes["delivered"] != 1 + replays or outcomes["retry"]:
            found.append(f"{event.row}: refused for ever, and tried as {dict(outcomes)}")
    dead = {row.row for row in history.rows if row.status == "dead_letter"}
    found += [f"{row}: dead, and nobody refused it" for row in dead - {e.row for e in guilty}]
    by_destination = Counter(event.destination for event in guilty)
    for event in history.planned:
        count = by_destination[event.destination]
        size = history.request_events.get(event.destination, 1)
        most = 1 + count * max(1, math.ceil(math.log2(max(size, 1))))
        carried = history.carried.get((event.destination, event.event_id), 0)
        if not event.refused and count and carried > most:
            found.append(f"{event.event_id}: {carried} requests beside {count} refused, not {most}")
    return found


def _only_the_holder_settles(history: History) -> Violations:
    lost = _lost_leases(history)
    if not lost and not history.revived:
        return None
    found = []
    claims_of: dict[str, list[Version]] = {}
    for _, claim in history.claims():
        claims_of.setdefault(claim.row, []).append(claim)
    for row, attempts in history.attempts_of.items():
        for token, count in Counter(each.lease_token for each in attempts).items():
            if count > 1:
                found.append(f"{row}: the lease {token} was settled {count} times")
        for attempt in attempts:
            newer = [c for c in claims_of.get(row, ()) if c.lease_token > attempt.lease_token]
            if any(claim.at < attempt.at for claim in newer):
                found.append(f"{row}: settled with a lease that somebody else had taken over")
    for row, versions in history.versions_of.items():
        statuses = [version.status for version in versions]
        if "resolved" in statuses[:-1] and set(statuses[statuses.index("resolved") :]) != {
            "resolved"
        }:
            found.append(f"{row}: changed after it was resolved")
    if history.revived and not history.stale_settles:
        found.append("a worker went on without its leases, and no stale settle was counted")
    return found


def _lost_leases(history: History) -> list[tuple[Version, Version]]:
    """The leases that ran out, each as it was last and as the claim that followed."""
    return [
        (before, claim)
        for before, claim in history.claims()
        if before is not None and before.lease_expires_at is not None
    ]


def _leases_come_back(history: History) -> Violations:
    lost = _lost_leases(history)
    if not lost:
        return None
    found = [f"{row.row}: still leased at the end" for row in history.rows if row.is_leased]
    for last, claim in lost:
        late = claim.at - (last.lease_expires_at or 0.0)
        if late < -GRACE_SECONDS:
            found.append(f"{claim.row}: taken over {-late:.0f} s before its lease ended")
        # With one tick to notice and what a run needs to come to it.
        if late > TICK_SECONDS + LEASE_SECONDS:
            found.append(f"{claim.row}: taken over {late:.0f} s after its lease ended")
    return found


def _neighbours_keep_their_speed(history: History) -> Violations:
    if not history.rates or history.is_snapshot_held:
        return None
    return [
        f"{rate.what}: {rate.share:.2f} of its rate, {rate.lag:.1f} times its lag"
        for rate in history.rates
        if rate.share < LEAST_SHARE_BESIDE_A_FAULT or rate.lag > MOST_LAG
    ]


def _a_backlog_leaves_evenly(history: History) -> Violations:
    if history.recovered_at is None or not history.paces:
        return None
    found = []
    for destination, pace in history.paces.items():
        seconds = Counter(
            int(request.at)
            for request in history.requests
            if request.destination == destination and request.at >= history.recovered_at
        )
        if seconds and max(seconds.values()) > pace + 1:
            found.append(f"{destination}: {max(seconds.values())} requests in a second, not {pace}")
        # The first and the last second are cut off by the run.
        whole = sorted(seconds)[1:-1]
        counts = [seconds[second] for second in whole]
        if len(counts) >= 3 and max(counts) > MOST_PEAK * sum(counts) / len(counts):
            found.append(f"{destination}: a peak of {max(counts)} among {counts}")
    return found + list(_waits_in_step(history))


def _waits_in_step(history: History) -> Iterator[str]:
    """Rows that failed together must not come back together."""
    waits: dict[tuple[str, int, int], list[float]] = {}
    for version in history.versions:
        if version.status == "retrying" and version.next_retry_at and not version.lease_expires_at:
            key = (version.destination, version.retry_count, int(version.at) // 10)
            waits.setdefault(key, []).append(version.next_retry_at - version.at)
    for (destination, _, _), together in waits.items():
        if len(together) >= 20 and max(together) < min(together) * (1 + JITTER_SHARE / 3):
            yield f"{destination}: {len(together)} events wait for the same moment"


def _each_episode_is_told_once(history: History) -> Violations:
    if history.messages is None:
        return None
    found = []
    owed = Counter((each.key, each.channel) for each in history.outbox)
    found += [f"{key}: owed {count} times" for key, count in owed.items() if count > 1]
    told = Counter((each.alert_type, each.kind) for each in history.outbox)
    episodes = Counter(each.alert_type for each in history.alerts)
    over = Counter(each.alert_type for each in history.alerts if each.is_over)
    channels = len({each.channel for each in history.outbox}) or 1
    for kind, wanted in (("started", episodes), ("ended", over)):
        found += [
            f"{alert_type}: {count} episodes, {told[alert_type, kind]} messages that one {kind}"
            for alert_type, count in wanted.items()
            if told[alert_type, kind] != count * channels
        ]
    found += [f"{each.title}: not sent" for each in history.outbox if not each.is_sent]
    for title in sorted({each.title for each in history.outbox}):
        count = sum(title in message for message in history.messages)
        wanted = sum(each.title == title for each in history.outbox)
        if not wanted <= count <= wanted + history.notifiers_killed:
            found.append(f"{title}: told {count} times, owed {wanted} times")
    return found


def _a_replay_does_what_it_said(history: History) -> Violations:
    if not history.replays:
        return None
    found = []
    for each in history.replays:
        if each.foreseen != each.replayed:
            found.append(f"a dry run foresaw {each.foreseen}, {each.replayed} were replayed")
        if each.again:
            found.append(f"a second replay took {each.again} again")
    rate = min(each.events_per_minute for each in history.replays)
    starts: dict[str, list[float]] = {}
    for versions in history.versions_of.values():
        for before, version in pairwise(versions):
            if before.status == "dead_letter" and version.status == "pending":
                starts.setdefault(version.destination, []).append(version.next_retry_at or 0.0)
    for destination, moments in starts.items():
        moments.sort()
        span = moments[-1] - moments[0]
        if len(moments) > 1 and (len(moments) - 1) * 60 / rate > span + GRACE_SECONDS:
            found.append(f"{destination}: {len(moments)} events within {span:.0f} s")
    return found


def _no_secret_gets_out(history: History) -> Violations:
    if not history.secrets:
        return None
    leaked = [f"a secret in: {each[:60]}" for each in history.texts if _holds(each, history)]
    return leaked + [f"the sink: {each}" for each in history.sink_violations]


def _holds(text: str, history: History) -> bool:
    return any(secret in text for secret in history.secrets)


def _only_the_databases_clock_counts(history: History) -> Violations:
    claims = list(history.claims())
    if not claims:
        return None
    found = []
    for _, claim in claims:
        lease = (claim.lease_expires_at or 0.0) - claim.at
        if abs(lease - LEASE_SECONDS) > GRACE_SECONDS:
            found.append(f"{claim.row}: a lease of {lease:.0f} s")
    asked = max((each.seconds for each in history.asked_waits), default=0.0)
    for versions in history.versions_of.values():
        for before, version in zip([None, *versions], versions, strict=False):
            retries = before.retry_count if before is not None else 0
            if version.retry_count <= retries or version.next_retry_at is None:
                continue
            wait = version.next_retry_at - version.at
            least = wait_seconds(version.retry_count, 0.0, 0.0)
            most = wait_seconds(version.retry_count, asked + DATE_SECONDS, 1.0)
            if not least - GRACE_SECONDS <= wait <= most + GRACE_SECONDS:
                found.append(f"{version.row}: a wait of {wait:.0f} s")
    return found


def _a_held_snapshot_costs_less_than_half(history: History) -> Violations:
    if not history.is_snapshot_held:
        return None
    return [
        f"{rate.what}: {rate.share:.2f} of its rate under a held snapshot"
        for rate in history.rates
        if rate.share < LEAST_SHARE_UNDER_A_SNAPSHOT
    ]


INVARIANTS = (
    Invariant("I1", "no event is lost, and the counts add up", _nothing_is_lost),
    Invariant("I2", "what is delivered, the sink has", _what_is_delivered_arrived),
    Invariant("I3", "duplicates: at most what was in flight", _duplicates_are_bounded),
    Invariant("I4", "log, row and sink count the same tries", _both_logs_agree),
    Invariant("I5", "nothing is sent before its time or without a lease", _nothing_is_early),
    Invariant("I6", "a refused event pays once, and alone", _the_guilty_alone_pay),
    Invariant("I7", "a lost lease settles nothing, and is counted", _only_the_holder_settles),
    Invariant("I8", "a lost lease is taken over within a tick", _leases_come_back),
    Invariant("I9", "neighbours of a dead destination go on", _neighbours_keep_their_speed),
    Invariant("I10", "a backlog leaves at its pace, evenly", _a_backlog_leaves_evenly),
    Invariant("I11", "each episode of an alert is told once", _each_episode_is_told_once),
    Invariant("I12", "a replay does what its dry run said, once", _a_replay_does_what_it_said),
    Invariant("I13", "no secret and no person in what is written", _no_secret_gets_out),
    Invariant("I14", "only the database's clock counts", _only_the_databases_clock_counts),
    Invariant("I15", "a held snapshot halves no throughput", _a_held_snapshot_costs_less_than_half),
)
