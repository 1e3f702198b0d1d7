"""``kill -9`` of the API in the middle of a thousand posts: what was answered 2xx is there."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg

from tracking_pipeline_tests.delivery.failed_event_queue import wait_until
from tracking_pipeline_tests.web import intake_process
from tracking_pipeline_tests.web.intake_process import DESTINATIONS
from tracking_pipeline_tests.web.intake_site import KEY

EVENTS = 1_000
AT_ONCE = 64


@contextmanager
def server(database_url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server's process and address; killed at the end of the block, whatever it does."""
    command = [sys.executable, str(Path(intake_process.__file__)), database_url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


class Poster:
    """Posts events, many at once, and knows which were answered 200."""

    def __init__(self, url: str) -> None:
        self._local = threading.local()
        self._url = url
        self.answered: set[UUID] = set()

    def post_all(self, ids: Sequence[UUID]) -> None:
        """Posts the events of these ids; what is not answered is not counted."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._post, ids))

    def _post(self, event_id: UUID) -> None:
        event = {"event_name": "Lead", "event_id": str(event_id), "email": f"{event_id}@a.com"}
        try:
            answer = self._client().post("/functions/v1/log-event", json=event)
        except httpx.HTTPError:
            return
        if answer.status_code == 200:
            self.answered.add(event_id)

    def _client(self) -> httpx.Client:
        if not hasattr(self._local, "client"):
            self._local.client = httpx.Client(
                base_url=self._url, headers={"x-api-key": KEY}, timeout=30
            )
        client: httpx.Client = self._local.client
        return client


def in_ledger(connection: psycopg.Connection) -> Counter[UUID]:
    return Counter(row[0] for row in connection.execute("select event_id from wm_event_log"))


def in_queues(connection: psycopg.Connection) -> Counter[tuple[UUID, str]]:
    statement = "select event_id, destination from tracking_accepted_events"
    return Counter(connection.execute(statement).fetchall())


def each_once(ids: set[UUID]) -> Counter[tuple[UUID, str]]:
    return Counter((event_id, name) for event_id in ids for name in DESTINATIONS)


def test_a_server_killed_in_the_middle_loses_nothing_it_has_answered(
    database_url: str, connection: psycopg.Connection
) -> None:
    ids = [uuid4() for _ in range(EVENTS)]

    with server(database_url) as (process, url):
        poster = Poster(url)
        posting = threading.Thread(target=poster.post_all, args=(ids,))
        posting.start()
        wait_until(lambda: len(poster.answered) >= EVENTS // 4)
        process.kill()
        posting.join()
    gone = (
        "select not exists (select from pg_stat_activity where datname = current_database()"
        " and application_name = 'tracking_pipeline')"
    )
    wait_until(lambda: connection.execute(gone).fetchall()[0][0])

    recorded = in_ledger(connection)
    assert EVENTS // 4 <= len(poster.answered) < EVENTS
    assert poster.answered <= set(recorded)
    assert set(recorded.values()) == {1}
    # Whatever was recorded, answered or not, was handed over with it.
    assert in_queues(connection) == each_once(set(recorded))

    with server(database_url) as (_, url):
        again = Poster(url)
        again.post_all(ids)

    assert again.answered == set(ids)
    assert in_ledger(connection) == Counter(ids)
    assert in_queues(connection) == each_once(set(ids))
