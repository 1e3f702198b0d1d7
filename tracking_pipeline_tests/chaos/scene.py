"""Where a fault strikes: one database, one sandbox of sinks, workers that are real processes.

A scene fills the queues, starts workers, lets time pass and drains to rest; at its end it reads the
history. A tick is what the schedule of `retry_failed_events_job` is: a worker runs, five minutes
pass, a worker runs again; ticks with nothing to do are left out.
"""

from __future__ import annotations

import math
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tracking_pipeline.delivery.engine.destination import Limits
from tracking_pipeline.delivery.engine.prefetch import ClaimWindow
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.chaos import journal
from tracking_pipeline_tests.chaos.history import (
    Alert,
    AskedWait,
    Attempt,
    History,
    Owed,
    Planned,
    Rate,
    Replay,
    Request,
    Row,
    Standing,
    Version,
)
from tracking_pipeline_tests.chaos.invariants import TICK_SECONDS
from tracking_pipeline_tests.chaos.nursery import NoAnswerError, Nursery, Worker
from tracking_pipeline_tests.chaos.worker import APP_SECRET, CANARY, TOKEN, Settings
from tracking_pipeline_tests.fault_proxy import FaultProxy
from tracking_pipeline_tests.servers import TestServer

# Small requests, so that a small queue is many of them.
LIMITS: dict[str, tuple[int, int, float | None]] = {
    "meta_capi": (5, 2, None),
    "google_ec": (5, 2, None),
    "gtm_server": (1, 4, None),
}
SINKS = tuple(LIMITS)
MOST_TICKS = 400

_READ_ROWS = """
select id::text as row, event_id::text, destination, status,
    coalesce(retry_count, 0) as retry_count, coalesce(max_retries, 5) as max_retries,
    coalesce(resolved_by, '') = 'tracking_pipeline' as is_delivered,
    lease_expires_at is not null as is_leased, replays
from tracking_failed_events
union all
select id::text, event_id::text, destination, case when delivered_at is null then 'accepted'
    else 'resolved' end, 0, 5, delivered_at is not null, lease_expires_at is not null, 0
from tracking_accepted_events
"""
_READ_VERSIONS = """
select at, row_id::text as row, destination, status, lease_token, retry_count, next_retry_at,
    lease_expires_at
from chaos_versions order by n
"""
_READ_ATTEMPTS = """
select chaos_seconds(attempted_at) as at, failed_event_id::text as row, event_id::text, outcome,
    requests, lease_token
from tracking_delivery_attempts order by id
"""
_READ_TEXTS = """
select error_message as text from tracking_failed_events
union all select dead_letter_reason from tracking_failed_events
union all select concat(error_message, error_code, worker) from tracking_delivery_attempts
union all select reason from tracking_destination_state
union all select message from tracking_health_alerts
union all select concat(title, body, last_error) from tracking_alert_notifications
"""


@dataclass
class Scene:
    """One scenario under way; made by :func:`scene`. What a fault has to tell the checker of itself
    it notes in ``told``, whose fields are those of :class:`History`."""

    url: str
    connection: psycopg.Connection[Any]
    sandbox: Sandbox
    nursery: Nursery
    dice: random.Random
    folder: Path
    undo: ExitStack
    began: float = field(default_factory=time.monotonic)
    database: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    limits: dict[str, tuple[int, int, float | None]] = field(default_factory=lambda: dict(LIMITS))
    planned: list[Planned] = field(default_factory=list)
    told: History = field(default_factory=lambda: History((), ()))
    workers: list[Worker] = field(default_factory=list)
    proxies: list[FaultProxy] = field(default_factory=list)
    channels: str = ""
    geo_file: str = ""
    _jumps: list[tuple[float, float]] = field(default_factory=list)
    _stale_settles: int = 0

    def tell(self, **facts: Any) -> None:
        """Notes facts about the fault for the checker."""
        self.told = replace(self.told, **facts)

    # --- what waits ----------------------------------------------------------------------------

    def fill(self, scale: int = 1) -> None:
        """Some events for every destination, in both queues, in a number by the dice."""
        for destination, least in (("meta_capi", 22), ("google_ec", 12), ("gtm_server", 10)):
            self.add(destination, least * scale + self.dice.randrange(6))
            self.add(destination, self.dice.randrange(1, 5), queue="tracking_accepted_events")
        self.add("supabase", 4 * scale + self.dice.randrange(4))

    def add(
        self,
        destination: str,
        count: int = 1,
        *,
        queue: str = "tracking_failed_events",
        refused: bool = False,
        copies_of: Planned | None = None,
        payload: dict[str, Any] | None = None,
        **columns: Any,
    ) -> list[Planned]:
        """Adds events of one kind; ``payload`` goes over the usual one."""
        made = []
        for _ in range(count):
            row = UUID(int=self.dice.getrandbits(128), version=4)
            event = UUID(int=self.dice.getrandbits(128), version=4)
            event_id = copies_of.event_id if copies_of else str(event)
            values = {
                "id": row,
                "event_id": event_id,
                "event_name": "Lead",
                "destination": destination,
                "event_payload": Jsonb({**self._person(), **(payload or {})}),
                **({} if "accepted" in queue else {"error_message": "it failed"}),
                **columns,
            }
            self.connection.execute(
                sql.SQL("insert into {} ({}) values ({})").format(
                    sql.Identifier(queue),
                    sql.SQL(", ").join(map(sql.Identifier, values)),
                    sql.SQL(", ").join(sql.Placeholder() * len(values)),
                ),
                list(values.values()),
            )
            is_kept = queue == "tracking_failed_events"
            made.append(Planned(str(row), event_id, destination, refused, is_kept))
        self.planned += made
        return made

    def _person(self) -> dict[str, Any]:
        number = self.dice.randrange(10**9)
        return {
            "event_name": "Lead",
            "page_url": "https://shop.example/thanks",
            "email": f"{CANARY}.{number}@example.com",
            "phone": f"+1 212 {self.dice.randrange(200, 999)} {self.dice.randrange(10**4):04}",
            "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            "client_ip_address": "8.8.8.8",
        }

    def waiting(self, but: str = "") -> int:
        """How many events wait in either queue, those of one destination left out."""
        return journal.waiting(self.connection, but)

    # --- who works -----------------------------------------------------------------------------

    def worker(self, *, skew_seconds: float = 0.0, **settings: Any) -> Worker:
        """Starts a worker process; ``settings`` go over the scene's own."""
        own = Settings(
            self.database or self.url,
            self.addresses,
            self.limits,
            channels=self.channels,
            geo_file=self.geo_file,
        )
        log = self.folder / f"worker-{len(self.workers)}.log"
        made = self.nursery.worker(replace(own, **settings), log, skew_seconds)
        self.undo.callback(made.kill)
        self.workers.append(made)
        return made

    def retry(self, worker: Worker, **request: Any) -> dict[str, Any]:
        """One run of a worker to its end."""
        worker.start("retry", **request)
        return self.finish(worker)

    def finish(self, worker: Worker) -> dict[str, Any]:
        """The end of a run that was started."""
        totals: dict[str, Any] = worker.answer()
        self._stale_settles += totals.get("stale_settles", 0)
        return totals

    def kill(self, worker: Worker) -> None:
        """``kill -9``; what it held in its window is in doubt from now on."""
        worker.kill()
        self.doubt(self.window())

    def window(self) -> int:
        """How many events one worker may have sent and not settled."""
        return sum(
            ClaimWindow(Limits(events, 1, in_flight)).requests * events
            for events, in_flight, _ in self.limits.values()
        )

    def doubt(self, events: int) -> None:
        self.tell(doubtful_events=self.told.doubtful_events + events)

    # --- what is in between --------------------------------------------------------------------

    def before_sink(self, destination: str) -> FaultProxy:
        """Puts a proxy between the workers to come and one destination."""
        proxy = self.undo.enter_context(FaultProxy(self.addresses[destination]))
        self.addresses = {**self.addresses, destination: proxy.url}
        self.proxies.append(proxy)
        return proxy

    def before_database(self) -> FaultProxy:
        """Puts a proxy between the workers to come and the database."""
        proxy = self.undo.enter_context(FaultProxy(self.url))
        self.database = proxy.url
        return proxy

    def all_well(self) -> None:
        """The ways to the sinks are the direct ones again, for workers to come."""
        self.addresses = _direct(self.sandbox)
        self.database = ""
        for destination in SINKS:
            self.sandbox.conditions[destination].outage(None)
            self.sandbox.conditions[destination].latency_seconds = 0.0

    # --- time ----------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        journal.pass_time(self.connection, seconds)
        self._jumps.append((time.monotonic(), seconds))

    def now(self) -> float:
        """The scenario's clock."""
        return self._at(time.monotonic())

    def _at(self, monotonic: float) -> float:
        return monotonic - self.began + sum(s for when, s in self._jumps if when <= monotonic)

    def tick(self) -> None:
        """Lets the schedule's next moment come at which there is something to do."""
        ahead = journal.seconds_to_next(self.connection)
        self.pass_time(max(1, math.ceil(ahead / TICK_SECONDS)) * TICK_SECONDS)

    def drain(self, worker: Worker | None = None) -> None:
        """Tick after tick, until nothing waits any more."""
        worker = worker or self.worker()
        for _ in range(MOST_TICKS):
            self.retry(worker)
            if not self.waiting():
                return
            self.tick()
        self.tell(at_rest=False)

    def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Waits for what another process has to bring about. Raises :class:`NoAnswerError`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise NoAnswerError("it did not come about")
            time.sleep(0.02)

    @contextmanager
    def elsewhere(self) -> Iterator[psycopg.Connection[Any]]:
        """A transaction of somebody else, rolled back at the end."""
        with psycopg.connect(self.url) as other:
            yield other
            other.rollback()

    @contextmanager
    def settles_blocked(self) -> Iterator[None]:
        """Inside the block one settle is half done: its log waits for us."""
        with self.elsewhere() as other:
            other.execute("lock table tracking_delivery_attempts in share mode")
            blocked = (
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock' and query ~ 'recordset'"
            )
            self.until(lambda: self.connection.execute(blocked).fetchall()[0][0])
            yield

    # --- speed ---------------------------------------------------------------------------------

    def rate(self, worker: Worker, destination: str, count: int) -> tuple[float, float]:
        """Drains so many events of one destination with whatever else waits. Gives the events a
        second to its last attempt, and the 99th percentile of how long one waited."""
        ids = [UUID(event.row) for event in self.add(destination, count)]
        (began,) = self.connection.execute("select clock_timestamp()").fetchall()[0]
        self.retry(worker)
        lags = sorted(
            row[0]
            for row in self.connection.execute(
                "select extract(epoch from attempted_at - %s)::float8"
                " from tracking_delivery_attempts where failed_event_id = any(%s)",
                (began, ids),
            ).fetchall()
        )
        return len(lags) / lags[-1], lags[int(0.99 * len(lags))]

    def compare(self, what: str, healthy: tuple[float, float], beside: tuple[float, float]) -> None:
        share, lag = beside[0] / healthy[0], beside[1] / healthy[1]
        self.tell(rates=(*self.told.rates, Rate(what, share, lag)))

    def asks(self, destination: str, answer: int, seconds: float) -> None:
        asked = AskedWait(destination, str(answer), seconds)
        self.tell(asked_waits=(*self.told.asked_waits, asked))

    def replay(self, worker: Worker, events_per_minute: float) -> None:
        """A dry run, the replay, and the replay once more."""
        order: dict[str, Any] = {"canaries": 0, "events_per_minute": events_per_minute}
        foreseen = worker.run("replay", dry_run=True, **order)
        done = worker.run("replay", dry_run=False, **order)
        again = worker.run("replay", dry_run=False, **order)
        would = sum(foreseen[name] for name in ("sent", "waits", "withheld", "expired", "refused"))
        replay = Replay(would, done["replayed"], again["replayed"], events_per_minute)
        self.tell(replays=(*self.told.replays, replay))

    # --- what happened -------------------------------------------------------------------------

    def history(self) -> History:
        """All that the checker needs, read from the database and from the sinks."""
        connection = self.connection
        return replace(
            self.told,
            planned=tuple(self.planned),
            rows=[Row(**row) for row in journal.read(connection, _READ_ROWS)],
            versions=[Version(**row) for row in journal.read(connection, _READ_VERSIONS)],
            standings=[
                Standing(**row)
                for row in journal.read(
                    connection,
                    "select at, destination, state, not_before from chaos_standings order by n",
                )
            ],
            attempts=[Attempt(**row) for row in journal.read(connection, _READ_ATTEMPTS)],
            requests=self._requests(),
            ledger={
                row["event_id"]: row["count"]
                for row in journal.read(
                    connection,
                    "select event_id::text, count(*) from wm_event_log group by event_id",
                )
            },
            stale_settles=self._stale_settles,
            request_events={name: limits[0] for name, limits in self.limits.items()},
            doubtful_events=self.told.doubtful_events + self._spoiled(),
            alerts=self._alerts(),
            outbox=self._outbox(),
            texts=self._texts(),
            secrets=(CANARY, TOKEN, APP_SECRET),
            sink_violations=[
                f"{each.kind}: {each.what}"
                for each in self.sandbox.memory.violations
                # Its clock is the machine's; of waits the checker keeps account by the scenario's.
                if each.kind != "request_while_told_to_wait"
            ],
        )

    def _requests(self) -> Sequence[Request]:
        return [
            Request(
                self._at(each.at),
                each.destination,
                each.event_ids,
                each.answer,
                each.accepted,
                each.accepted and each.reason is None,
            )
            for each in self.sandbox.memory.requests
        ]

    def _spoiled(self) -> int:
        most = max((limits[0] for limits in self.limits.values()), default=1)
        return sum(proxy.spoiled for proxy in self.proxies) * most

    def _alerts(self) -> Sequence[Alert]:
        found = journal.read(
            self.connection,
            "select alert_type, resolved_at is not null as is_over from tracking_health_alerts",
        )
        return [Alert(**row) for row in found]

    def _outbox(self) -> Sequence[Owed]:
        found = journal.read(
            self.connection,
            "select dedupe_key as key, alert_type, kind, channel, title,"
            " sent_at is not null as is_sent from tracking_alert_notifications",
        )
        return [Owed(**row) for row in found]

    def _texts(self) -> Sequence[str]:
        kept = [str(row["text"]) for row in journal.read(self.connection, _READ_TEXTS)]
        logs = [log.read_text() for log in self.folder.glob("worker-*.log")]
        lines = [line for text in logs for line in text.splitlines()]
        return [*kept, *lines, *(line for worker in self.workers for line in worker.said)]


def _direct(sandbox: Sandbox) -> dict[str, str]:
    return {
        "meta_capi": sandbox.meta_url,
        "google_ec": sandbox.google_url,
        "gtm_server": sandbox.gtm_url,
        "supabase": "",
    }


@contextmanager
def scene(
    server: TestServer, template: str, nursery: Nursery, dice: random.Random, folder: Path
) -> Iterator[Scene]:
    """A scene on a database of its own, with nothing in it; all of it is gone afterwards."""
    name = f"chaos_{dice.getrandbits(64):016x}"
    folder = folder / name
    folder.mkdir(parents=True)
    url = server.create_database(name, template=template)
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        # What is committed outlives a crash of the server, though not one of the machine.
        admin.execute(
            sql.SQL("alter database {} set synchronous_commit = on").format(sql.Identifier(name))
        )
    try:
        with (
            ExitStack() as undo,
            Sandbox() as sandbox,
            psycopg.connect(url, autocommit=True) as connection,
        ):
            httpx.post(
                f"{sandbox.google_url}/_behaviour", json={"requests_per_minute": None}
            ).raise_for_status()
            journal.keep_journal(connection)
            yield Scene(
                url,
                connection,
                sandbox,
                nursery,
                dice,
                folder,
                undo,
                addresses=_direct(sandbox),
            )
    finally:
        server.drop_database(name)


STOPPED = (signal.SIGUSR1, signal.SIGCONT)
"""What lets a stopped worker go on, and find that the time went by."""
