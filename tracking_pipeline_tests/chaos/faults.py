"""The sixteen faults, each in one or several forms: what is done to workers, database and sinks.

A fault is a function of a scene: it fills the queues, does its harm while workers are at work, and
mends what it broke. Whatever waits afterwards is drained to rest, and then the checker comes. The
list is that of the chaos practice of RudderStack, Svix, Convoy and Jepsen, as far as it can be done
on one machine: what would need a kernel's or a disk's help has a stand-in, and says so.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial
from typing import Any

import psycopg

from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline_tests.chaos.false_clock import JUMP_SECONDS
from tracking_pipeline_tests.chaos.nursery import Worker
from tracking_pipeline_tests.chaos.scene import STOPPED, Scene
from tracking_pipeline_tests.health.sinks import Webhook, webhook

HOUR = 3600.0
LEASE = 61.0


@dataclass(frozen=True)
class Fault:
    """One fault in one form. ``is_quick``: it is part of the short form of the suite."""

    number: str
    name: str
    strike: Callable[[Scene], None]
    is_quick: bool = False

    @property
    def label(self) -> str:
        return f"{self.number} {self.name}"


FAULTS: list[Fault] = []
NAMES = {
    "F1": "kill -9",
    "F2": "stopped for longer than its lease",
    "F3": "database restarts, breaks off, falls silent",
    "F4": "a sink that misbehaves",
    "F5": "no name, no TLS",
    "F6": "12 hours without a destination",
    "F7": "a wrong clock",
    "F8": "poisoned events",
    "F9": "many workers at once",
    "F10": "a held snapshot, a locked table",
    "F11": "no room for the log",
    "F12": "no geo database",
    "F13": "a token that is revoked, then renewed",
    "F14": "no way to tell an alert",
    "F15": "the same event over and over",
    "F16": "ticks that overlap or are ended",
}


def fault(
    number: str, name: str, *, quick: bool = False
) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Puts a fault on the list."""

    def put(strike: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS.append(Fault(number, name, strike, quick))
        return strike

    return put


# --- F1: a worker is killed ---------------------------------------------------------------------


@fault("F1", "after its claim")
def killed_after_claim(scene: Scene) -> None:
    _killed_frozen(scene, "claimed")


@fault("F1", "after a 200, before its settle", quick=True)
def killed_after_answer(scene: Scene) -> None:
    _killed_frozen(scene, "answered")


def _killed_frozen(scene: Scene, point: str) -> None:
    scene.fill()
    worker = scene.worker(freeze=point)
    worker.start("retry")
    worker.answer()
    scene.kill(worker)
    scene.pass_time(LEASE)


@fault("F1", "in the middle of a request")
def killed_in_request(scene: Scene) -> None:
    scene.fill()
    scene.sandbox.conditions["meta_capi"].latency_seconds = 30.0
    worker = scene.worker()
    worker.start("retry")
    scene.until(lambda: scene.sandbox.memory.requests)
    scene.kill(worker)
    scene.all_well()
    scene.pass_time(LEASE)


@fault("F1", "in the middle of a settle")
def killed_in_settle(scene: Scene) -> None:
    scene.fill()
    scene.sandbox.conditions["meta_capi"].latency_seconds = 0.5
    worker = scene.worker()
    worker.start("retry")
    scene.until(lambda: scene.sandbox.memory.requests)
    with scene.settles_blocked():
        scene.kill(worker)
        if scene.dice.random() < 0.5:  # else the server goes on with the dead worker's statement
            _break_connections(scene)
    scene.all_well()
    scene.pass_time(LEASE)


@fault("F1", "again and again, at moments of chance")
def killed_again_and_again(scene: Scene) -> None:
    scene.fill(2)
    for _ in range(4):
        scene.sandbox.conditions["meta_capi"].latency_seconds = 0.05
        wanted = len(scene.sandbox.memory.requests) + scene.dice.randrange(1, 6)
        worker = scene.worker()
        worker.start("retry")
        scene.until(partial(_has_sent, scene, wanted))
        scene.kill(worker)
        scene.pass_time(LEASE)


def _has_sent(scene: Scene, requests: int) -> bool:
    return len(scene.sandbox.memory.requests) >= requests or not scene.waiting()


# --- F2: a worker is stopped for longer than its lease --------------------------------------------


@fault("F2", "SIGSTOP in a request, SIGCONT after its lease", quick=True)
def stopped_worker(scene: Scene) -> None:
    scene.fill()
    scene.sandbox.conditions["meta_capi"].latency_seconds = 10.0
    worker = scene.worker()
    worker.start("retry")
    # All else is done then, and it waits for two answers.
    scene.until(lambda: scene.waiting(but="meta_capi") == 0)
    worker.signal(signal.SIGSTOP)
    scene.doubt(scene.window())
    scene.all_well()
    scene.pass_time(JUMP_SECONDS)
    scene.drain()
    for number in STOPPED:
        worker.signal(number)
    scene.finish(worker)
    scene.tell(revived=1)


# --- F3: the database -----------------------------------------------------------------------------


@fault("F3", "crash and recovery, as of a restart -m immediate")
def database_crashes(scene: Scene) -> None:
    """One server process is killed: the server ends all others and recovers from its log."""
    scene.fill()
    worker = _at_work(scene)
    with psycopg.connect(scene.url, autocommit=True) as victim:
        os.kill(victim.info.backend_pid, signal.SIGKILL)
        scene.until(lambda: _answers(scene))
    scene.connection = scene.undo.enter_context(psycopg.connect(scene.url, autocommit=True))
    scene.doubt(scene.window())
    scene.finish(worker)


def _answers(scene: Scene) -> bool:
    try:
        with psycopg.connect(scene.url, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


@fault("F3", "connections reset in a settle")
def connections_reset(scene: Scene) -> None:
    scene.fill()
    proxy = scene.before_database()
    worker = _at_work(scene)
    with scene.settles_blocked():
        proxy.cut_clients()
    scene.finish(worker)


@fault("F3", "silent for three seconds")
def database_falls_silent(scene: Scene) -> None:
    scene.fill()
    proxy = scene.before_database()
    worker = _at_work(scene)
    proxy.fall_silent()
    time.sleep(3.0)
    proxy.speak_again()
    scene.finish(worker)


@fault("F3", "slow: 50 ms for each answer")
def database_is_slow(scene: Scene) -> None:
    scene.fill()
    scene.before_database().delay_seconds = 0.05
    scene.retry(scene.worker())


def _at_work(scene: Scene, requests: int = 4) -> Worker:
    """A worker in the middle of a run, after so many requests."""
    scene.sandbox.conditions["meta_capi"].latency_seconds = 0.3
    worker = scene.worker()
    worker.start("retry")
    scene.until(partial(_has_sent, scene, requests))
    return worker


def _break_connections(scene: Scene) -> None:
    scene.connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name = 'tracking_pipeline'"
    )


# --- F4: a sink that misbehaves ---------------------------------------------------------------


def _for_some(scene: Scene, step: RawStep) -> None:
    """Some events of each sink meet the step once; everybody else travels with them."""
    scene.fill()
    met = [event for event in scene.planned if event.destination != "supabase"]
    scene.sandbox.scripts.update(
        {event.event_id: [step] for event in scene.dice.sample(met, len(met) // 4)}
    )


@fault("F4", "500, 408, HTML, and resets by turns", quick=True)
def passing_faults(scene: Scene) -> None:
    scene.fill()
    steps: tuple[RawStep, ...] = (500, 408, 503, "html", "reset")
    scene.sandbox.scripts.update(
        {
            event.event_id: [scene.dice.choice(steps)]
            for event in scene.planned
            if event.destination != "supabase" and scene.dice.random() < 0.3
        }
    )


@fault("F4", "503 and Retry-After in seconds")
def retry_after_seconds(scene: Scene) -> None:
    scene.asks("gtm_server", 503, 1500)
    _for_some(scene, {"status": 503, "retry_after": "1500"})


@fault("F4", "503 and Retry-After as a date")
def retry_after_date(scene: Scene) -> None:
    at = datetime.now(timezone.utc) + timedelta(minutes=30)
    scene.asks("gtm_server", 503, 1790)
    _for_some(scene, {"status": 503, "retry_after": format_datetime(at, usegmt=True)})


@fault("F4", "503 and a Retry-After that is rubbish")
def retry_after_rubbish(scene: Scene) -> None:
    _for_some(scene, {"status": 503, "retry_after": "soon, perhaps"})


@fault("F4", "503 and a Retry-After of a century")
def retry_after_huge(scene: Scene) -> None:
    scene.asks("gtm_server", 503, 24 * HOUR)
    _for_some(scene, {"status": 503, "retry_after": "3153600000"})


@fault("F4", "429 and Retry-After")
def throttled(scene: Scene) -> None:
    scene.fill()
    scene.sandbox.conditions["meta_capi"].throttle(1, "1200")
    scene.asks("meta_capi", 429, 1200)


@fault("F4", "400 for a whole batch")
def refused_batch(scene: Scene) -> None:
    scene.fill()
    _refuse(scene, "meta_capi", scene.dice.randrange(1, 4))


@fault("F4", "400 that names its culprits, and the replay of them")
def refused_and_replayed(scene: Scene) -> None:
    scene.fill()
    guilty = [
        event
        for destination in ("meta_capi", "google_ec")
        for event in _refuse(scene, destination, 3)
    ]
    worker = scene.worker()
    scene.drain(worker)
    scene.sandbox.scripts.update({event: [] for event in guilty})
    scene.replay(worker, events_per_minute=30)
    scene.drain(worker)


def _refuse(scene: Scene, destination: str, count: int) -> list[str]:
    guilty = [each.event_id for each in scene.add(destination, count, refused=True)]
    scene.sandbox.scripts.update({event: ["bad"] for event in guilty})
    return guilty


@fault("F4", "200 that cannot be read")
def unreadable_success(scene: Scene) -> None:
    _for_some(scene, "broken_json")


@fault("F4", "reset after it took the events")
def reset_after_body(scene: Scene) -> None:
    _for_some(scene, "late_reset")


@fault("F4", "reset before the body was read")
def reset_before_body(scene: Scene) -> None:
    scene.fill()
    scene.before_sink("meta_capi").request_bytes = 300
    scene.tell(unreachable=frozenset({"meta_capi"}))
    scene.retry(scene.worker())
    scene.all_well()


@fault("F4", "an answer that breaks off")
def truncated_answer(scene: Scene) -> None:
    scene.fill()
    scene.before_sink("meta_capi").answer_bytes = 60
    scene.tell(unreachable=frozenset({"meta_capi"}))
    scene.retry(scene.worker())
    scene.all_well()


@fault("F4", "slow for longer than anybody waits")
def slow_sink(scene: Scene) -> None:
    """It takes the events at once and answers after half a minute."""
    scene.limits = {**scene.limits, "meta_capi": (50, 2, None)}
    scene.fill()
    scene.sandbox.conditions["meta_capi"].latency_seconds = 30.0
    worker = scene.worker()
    scene.retry(worker)
    scene.doubt(scene.window())
    scene.all_well()


@fault("F4", "301 to another host, and 413")
def redirected(scene: Scene) -> None:
    scene.fill()
    steps: tuple[RawStep, ...] = (301, 413)
    for destination in ("meta_capi", "google_ec", "gtm_server"):
        scene.sandbox.conditions[destination].outage(scene.dice.choice(steps))
    worker = scene.worker()
    scene.retry(worker)
    scene.all_well()
    scene.drain(worker)


@fault("F4", "one that hangs, beside one that is well")
def hanging_beside_healthy(scene: Scene) -> None:
    """A pair of runs: the healthy destination alone, then beside one that never answers."""
    scene.limits = {**scene.limits, "gtm_server": (1, 8, None)}
    scene.sandbox.conditions["gtm_server"].latency_seconds = 0.02
    worker = scene.worker()
    scene.retry(worker)
    alone = scene.rate(worker, "gtm_server", 600)
    scene.sandbox.conditions["meta_capi"].outage("timeout")
    scene.add("meta_capi", 10)
    beside = scene.rate(worker, "gtm_server", 600)
    scene.compare("gtm_server beside meta_capi that hangs", alone, beside)
    scene.all_well()


# --- F5: names and TLS ------------------------------------------------------------------------


@fault("F5", "the name is not known")
def unknown_host(scene: Scene) -> None:
    _elsewhere(scene, "http://no-such-host.invalid")


@fault("F5", "TLS fails")
def failing_tls(scene: Scene) -> None:
    _elsewhere(scene, scene.sandbox.meta_url.replace("http://", "https://"))


def _elsewhere(scene: Scene, address: str) -> None:
    scene.fill()
    scene.addresses = {**scene.addresses, "meta_capi": address}
    scene.tell(unreachable=frozenset({"meta_capi"}))
    worker = scene.worker()
    scene.retry(worker)
    scene.tick()
    scene.retry(worker)
    worker.kill()
    scene.all_well()


# --- F6: a long outage ------------------------------------------------------------------------


@fault("F6", "503 for 12 hours, then a backlog at its pace")
def long_outage(scene: Scene) -> None:
    """Nothing dies of it: the breaker opens long before anybody's tries are used up."""
    pace = 20.0
    scene.limits = {**scene.limits, "meta_capi": (1, 4, pace)}
    scene.add("meta_capi", 90 + scene.dice.randrange(20))
    scene.add("gtm_server", 20)
    scene.sandbox.conditions["meta_capi"].outage(503)
    worker = scene.worker()
    ends = scene.now() + 12 * HOUR
    while scene.now() < ends:
        scene.retry(worker)
        scene.tick()
    scene.all_well()
    scene.pass_time(HOUR)
    scene.tell(recovered_at=scene.now(), paces={"meta_capi": pace})
    scene.drain(worker)


# --- F7: a wrong clock --------------------------------------------------------------------------


@fault("F7", "an hour slow")
def slow_clock(scene: Scene) -> None:
    _skewed(scene, -HOUR)


@fault("F7", "an hour fast")
def fast_clock(scene: Scene) -> None:
    _skewed(scene, HOUR)


def _skewed(scene: Scene, seconds: float) -> None:
    """One worker with a wrong clock, killed, and another one with a right clock."""
    scene.fill()
    met = [each.event_id for each in scene.planned if each.destination == "gtm_server"]
    scene.sandbox.scripts.update(
        {event: [500, {"status": 503, "retry_after": "900"}] for event in met[:5]}
    )
    frozen = scene.worker(skew_seconds=seconds, freeze="claimed")
    frozen.start("retry")
    frozen.answer()
    scene.kill(frozen)
    scene.pass_time(LEASE)
    scene.drain(scene.worker(skew_seconds=seconds))


# --- F8: poisoned events ------------------------------------------------------------------------


@fault("F8", "NUL, lone surrogates, 1 MB, too old, nobody in it", quick=True)
def poisoned_events(scene: Scene) -> None:
    scene.fill()
    old = datetime.now(timezone.utc) - timedelta(days=8)
    poison: tuple[dict[str, Any], ...] = (
        {"email": "a\\u0000b", "custom_data": '{"name": "\\u0000", "x": "\\ud800"}'},
        {"custom_data": {"content_name": "x" * 1_000_000}},
        {"page_url": "https://shop.example/\udfff".encode("utf-8", "replace").decode()},
    )
    for payload in poison:
        scene.add("meta_capi", payload=payload)
    scene.add(
        "meta_capi", payload={"event_time": int(old.timestamp())}, refused=True, created_at=old
    )
    scene.add("meta_capi", payload={"event_time": "the day before yesterday"}, refused=True)
    scene.add("meta_capi", payload={"value": "free"}, refused=True)


# --- F9: many workers ---------------------------------------------------------------------------


@fault("F9", "two workers and the leases of a third")
def two_workers(scene: Scene) -> None:
    scene.fill(2)
    lost = scene.worker(freeze="claimed")
    lost.start("retry")
    lost.answer()
    scene.kill(lost)
    scene.pass_time(LEASE)
    _together(scene, 2)


@fault("F9", "ten workers on a hundred events")
def ten_workers(scene: Scene) -> None:
    scene.add("meta_capi", 60)
    scene.add("gtm_server", 40)
    _together(scene, 10)


def _together(scene: Scene, count: int) -> None:
    workers = [scene.worker() for _ in range(count)]
    for worker in workers:
        worker.start("retry")
    for worker in workers:
        scene.finish(worker)


# --- F10: transactions of others ----------------------------------------------------------------


@fault("F10", "a snapshot that is held")
def held_snapshot(scene: Scene) -> None:
    """Dead versions of rows pile up under it, and every claim has to step over them."""
    scene.limits = {**scene.limits, "meta_capi": (50, 4, None)}
    worker = scene.worker()
    scene.retry(worker)
    alone = scene.rate(worker, "meta_capi", 1_500)
    with scene.elsewhere() as other:
        other.execute("set transaction isolation level repeatable read")
        other.execute("select count(*) from tracking_failed_events")
        scene.rate(worker, "meta_capi", 1_500)
        beside = scene.rate(worker, "meta_capi", 1_500)
    scene.compare("meta_capi under a snapshot held", alone, beside)
    scene.tell(is_snapshot_held=True)


@fault("F10", "a table that a migration has locked")
def locked_table(scene: Scene) -> None:
    scene.fill()
    worker = _at_work(scene)
    with scene.elsewhere() as other:
        other.execute("lock table tracking_failed_events in access exclusive mode")
        time.sleep(4.0)
    scene.finish(worker)


# --- F11: no room -------------------------------------------------------------------------------


@fault("F11", "the log of attempts cannot be written")
def full_disk(scene: Scene) -> None:
    """Stands in for a full tablespace: PostgreSQL's own error, raised by a trigger."""
    scene.fill()
    scene.connection.execute(
        "create function chaos_full() returns trigger language plpgsql as $$ begin"
        " raise exception 'could not extend file' using errcode = 'disk_full'; end $$;"
        "create trigger full_disk before insert on tracking_delivery_attempts"
        " for each statement execute function chaos_full()"
    )
    worker = scene.worker()
    worker.start("retry")
    time.sleep(8.0)
    scene.connection.execute("drop trigger full_disk on tracking_delivery_attempts")
    scene.finish(worker)
    scene.doubt(scene.window())


# --- F12: geo -----------------------------------------------------------------------------------


@fault("F12", "missing, then broken")
def no_geo_database(scene: Scene) -> None:
    """Delivery goes on, and the leads wait for a place: nothing of them is lost either."""
    scene.fill()
    scene.connection.execute(
        "insert into leads (email, client_ip) select 'lead' || i || '@example.com', '8.8.8.8'"
        " from generate_series(1, 5) as i"
    )
    broken = scene.folder / "broken.mmdb"
    broken.write_bytes(scene.dice.randbytes(4096))
    for path in (scene.folder / "missing.mmdb", broken):
        scene.geo_file = str(path)
        worker = scene.worker()
        worker.run("enrich")
        scene.retry(worker)
    (left,) = scene.connection.execute("select count(*) from leads where city is null").fetchall()[
        0
    ]
    if left != 5:
        raise AssertionError(f"{5 - left} leads got a place from no database")


# --- F13: a token -------------------------------------------------------------------------------


@fault("F13", "401 and code 190, then accepted again", quick=True)
def revoked_token(scene: Scene) -> None:
    scene.fill()
    with _told(scene):
        scene.sandbox.conditions["meta_capi"].outage({"status": 401, "code": 190})
        worker = scene.worker()
        scene.retry(worker)
        _tell(worker)
        for _ in range(3):
            scene.tick()
            scene.retry(worker)
        scene.all_well()
        scene.drain(worker)
        _tell(worker)


# --- F14: the channel of the alerts -------------------------------------------------------------


@fault("F14", "a webhook that is down for an hour, and a killed notifier")
def channel_down(scene: Scene) -> None:
    scene.fill()
    with _told(scene) as hook:
        hook.statuses = [503] * 50
        scene.sandbox.conditions["meta_capi"].outage({"status": 401, "code": 190})
        worker = scene.worker()
        scene.retry(worker)
        for _ in range(12):
            _tell(worker)
            scene.pass_time(HOUR / 12)
        hook.received.clear()  # what it answered with 503 it does not have
        hook.statuses = []
        killed = scene.worker()
        hook.on_request = partial(killed.signal, signal.SIGKILL)
        scene.pass_time(HOUR)
        killed.start("notify")
        killed.wait()
        hook.on_request = lambda: None
        scene.tell(notifiers_killed=1)
        scene.pass_time(HOUR)
        _tell(worker)
        scene.all_well()
        scene.drain(worker)
        _tell(worker)


class _told:  # noqa: N801  reads as the block's own words
    """Inside the block alerts have a channel; what it received is told to the checker."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._webhook = webhook()

    def __enter__(self) -> Webhook:
        self._hook = self._webhook.__enter__()
        self._scene.channels = self._hook.url
        return self._hook

    def __exit__(self, *error: Any) -> None:
        self._webhook.__exit__(*error)
        received = self._hook.received
        self._scene.tell(messages=[f"{each['title']}\n{each['message']}" for each in received])


def _tell(worker: Worker) -> None:
    worker.run("check")
    worker.run("notify")


# --- F15: duplicates ----------------------------------------------------------------------------


@fault("F15", "a hundred rows of ten events, while they are sent")
def storm_of_copies(scene: Scene) -> None:
    """A site's handler that logs the same failure again and again. Each row is an event of its own
    to the queue; the platform de-duplicates them by the id they share."""
    first = scene.add("meta_capi", 10)
    worker = _at_work(scene, requests=1)
    for _ in range(9):
        for event in first:
            scene.add("meta_capi", copies_of=event)
    scene.finish(worker)


# --- F16: ticks ---------------------------------------------------------------------------------


@fault("F16", "two overlap, one is terminated")
def overlapping_ticks(scene: Scene) -> None:
    """What the schedule's next tick does while the last one still runs, and what a deploy does.
    How Dagster finds a dead run is tested where that is decided: defs/maintenance."""
    scene.fill(2)
    scene.sandbox.conditions["meta_capi"].latency_seconds = 0.2
    one, other = scene.worker(), scene.worker()
    one.start("retry")
    other.start("retry")
    scene.until(lambda: len(scene.sandbox.memory.requests) > 6)
    one.signal(signal.SIGTERM)
    one.wait()
    scene.doubt(scene.window())
    scene.finish(other)
    scene.pass_time(LEASE)


@fault("F16", "killed between two ticks")
def killed_between_ticks(scene: Scene) -> None:
    _for_some(scene, 500)
    worker = scene.worker()
    scene.retry(worker)
    worker.kill()
    scene.tick()
