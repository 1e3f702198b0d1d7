"""Whatever PostgreSQL says of one row costs that row; what it says of the table or of itself costs
none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from uuid import uuid4

import anyio
import psycopg
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.engine.bisection import deliver_batch
from tracking_pipeline.delivery.engine.destination import Reply
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import Outcome, Paused, Rejected, Retry
from tracking_pipeline.store.database import connection_pool
from tracking_pipeline.store.refusals import culprit_of
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, payload
from tracking_pipeline_tests.delivery.runs import Runs

NAMES = ["Lead"] * 8
CULPRIT = "Canary"
# Of classes and of single codes of the appendix, and such as a site makes up.
OF_ROWS = """P0000 P0001 P0002 P0003 P0004 22001 22003 22007 22008 22012 22P02 22021 22P05 23502
    23503 23505 23514 23P01 23001 44000 54000 54001 54011 54023 09000 0A000 20000 21000 27000 2F005
    34000 38000 38004 39P01 39P02 55000 55006 45000 SITE1 ZZ999 02000 01004""".split()
OF_THE_TABLE = """42804 42883 428C9 42P01 42703 42501 42P10 42601 42702 42846 42809 28000 28P01
    3D000 3F000""".split()
OF_THE_SERVER = """08000 08001 08003 08006 08P01 25006 25P02 25P03 25P04 26000 40001 40P01 40002
    40003 53000 53100 53200 53300 53400 55P03 57000 57014 57P01 57P02 57P03 57P05 58000 58030 F0000
    HV000 XX000 XX001 XX002""".split()


def raising(connection: psycopg.Connection, state: str) -> None:
    """A trigger of the site's raises this SQLSTATE for one row, and quotes it."""
    connection.execute(
        f"""
        create or replace function site_rule() returns trigger language plpgsql as $$
        begin
            if new.event_name = '{CULPRIT}' then
                raise exception 'not %', new.metadata using errcode = '{state}',
                    detail = new.metadata::text, constraint = new.metadata ->> 'note';
            end if;
            return new;
        end $$;
        create or replace trigger site_rule before insert on wm_event_log
        for each row execute function site_rule()
        """.encode()
    )


def sent(database_url: str, names: Iterable[str]) -> tuple[list[Outcome | None], int]:
    """What became of an event of each name, and in how many requests."""
    requests = 0

    async def run() -> list[Outcome | None]:
        async with connection_pool(database_url, size=1) as pool:
            ledger = Ledger(pool)
            batch = []
            for name in names:
                event = claimed({"event_id": str(uuid4()), "event_name": name, "note": "canary"})
                prepared = ledger.prepare(event)
                assert isinstance(prepared, Prepared)
                batch.append(prepared)

            async def send(part: Collection[Prepared]) -> Reply:
                nonlocal requests
                requests += 1
                return await ledger.send(list(part), NOW)

            async def always(part: Collection[Prepared]) -> bool:
                return True

            return [each.outcome for each in await deliver_batch(batch, send, always)]

    return anyio.run(run), requests


def stored(connection: psycopg.Connection) -> int:
    row = connection.execute("select count(*) from wm_event_log").fetchone()
    assert row
    return int(row[0])


def test_what_one_row_of_eight_draws_costs_that_row_only(
    database_url: str, connection: psycopg.Connection
) -> None:
    for number, state in enumerate(OF_ROWS, start=1):
        raising(connection, state)

        outcomes, requests = sent(database_url, [*NAMES[:5], CULPRIT, *NAMES[6:]])

        assert stored(connection) == 7 * number, state
        rejected = outcomes.pop(5)
        assert isinstance(rejected, Rejected), (state, rejected)
        assert rejected.reason == f"refused by the ledger: {state}"
        assert rejected.fault.message.startswith("the ledger does not take this row: ")
        assert "canary" not in repr(rejected)
        assert {outcome.name for outcome in outcomes if outcome} == {"delivered"}, state
        assert requests <= 7


def test_what_speaks_of_the_table_or_the_server_is_not_searched_in_rows(
    database_url: str, connection: psycopg.Connection
) -> None:
    expected = dict.fromkeys(OF_THE_TABLE, Paused) | dict.fromkeys(OF_THE_SERVER, Retry)
    for state, kind in expected.items():
        raising(connection, state)

        outcomes, requests = sent(database_url, [*NAMES[:7], CULPRIT])

        assert {type(outcome) for outcome in outcomes} == {kind}, state
        assert requests == 1
        assert "canary" not in repr(outcomes)
    assert stored(connection) == 0


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=5))
def test_every_code_has_one_culprit_and_only_known_ones_are_not_the_rows(state: str) -> None:
    error = type("Raised", (psycopg.Error,), {"sqlstate": state})()

    others = {each[:2] for each in (*OF_THE_TABLE, *OF_THE_SERVER)} - {"55"}
    assert (culprit_of(error) == "row") == (state[:2] not in others and state != "55P03")


def test_no_answer_is_the_servers_and_a_value_that_cannot_be_written_down_is_the_rows() -> None:
    assert culprit_of(psycopg.OperationalError("the connection is lost")) == "server"
    assert culprit_of(psycopg.DataError("text fields cannot contain NUL bytes")) == "row"


def test_a_run_stores_the_others_and_parks_the_one_that_the_sites_trigger_refuses(
    queue: Queue, runs: Runs
) -> None:
    raising(queue.connection, "P0001")
    queue.add(7, destination="supabase")
    culprit = queue.add_one(
        destination="supabase", event_payload=payload(event_name=CULPRIT, note="canary")
    )

    totals = runs.run(destinations=("supabase",))

    assert (totals.total("resolved"), totals.total("dead_lettered")) == (7, 1)
    assert stored(queue.connection) == 7
    row = queue.row(culprit)
    assert (row["status"], row["retry_count"]) == ("dead_letter", 0)
    assert row["dead_letter_reason"] == "refused by the ledger: P0001"
    assert "raise exception (SQLSTATE P0001)" in row["error_message"]
    told = json.dumps(
        [totals.as_json(), row["error_message"], queue.attempts(culprit)], default=str
    )
    assert "canary" not in told.replace(str(row["event_payload"]), "")


def test_a_table_that_does_not_fit_pauses_and_spends_nothing(queue: Queue, runs: Runs) -> None:
    """SQLSTATE 428C9: the site made a column of the ledger a generated one."""
    rows = queue.add(8, destination="supabase")
    queue.connection.execute("alter table wm_event_log drop column fbclid")
    queue.connection.execute(
        "alter table wm_event_log add column fbclid text generated always as ('x') stored"
    )

    totals = runs.run(destinations=("supabase",)).by_destination["supabase"]

    assert (totals.state, totals.paused, totals.processed) == ("paused", 8, 0)
    assert "428C9" in totals.detail
    assert {queue.row(row)["retry_count"] for row in rows} == {0}


def test_an_event_whose_branch_of_a_trigger_is_broken_does_not_keep_the_ledger_closed(
    queue: Queue, runs: Runs
) -> None:
    raising(queue.connection, "42P01")
    good = queue.add(7, destination="supabase")
    culprit = queue.add_one(destination="supabase", event_payload=payload(event_name=CULPRIT))

    for _ in range(8):
        runs.run(destinations=("supabase",), all_events=True)

    statuses = Counter(queue.row(row)["status"] for row in good)
    assert statuses == {"resolved": 7}
    assert queue.row(culprit)["status"] in ("pending", "retrying", "dead_letter")
