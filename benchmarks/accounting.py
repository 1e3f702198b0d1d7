"""What delivery accounting and the watch over the ledger cost on a long and on a dense ledger.

    python -m benchmarks.accounting [--rows N] [--dense-rows N] [--rounds N] [--json]

Three ledgers, all conversions, on one server:

    short   100,000 events within the last 7 days
    long    N events (10 million) at the same pace, so over years
    dense   N events (1 million) of a site that has 10 million in 7 days: the newest hours of it

The history of each is counted first. Then rounds take turns on all three: 200 of the last hours'
events fail, a pass counts what has changed, the accounting of 7 days and the delivery rate are
read, and silence, surge and fallen match keys are looked for. It ends by itself, with 1 where a
round on a big ledger costs over 1.3 times one on the short ledger.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass

import psycopg
from typing_extensions import LiteralString

from benchmarks.health import MOST_TIMES, SHORT_ROWS, WINDOW_SECONDS
from benchmarks.retry_stand import temporary_postgres
from tracking_pipeline.health.readings.accounting import read_delivery_rate, read_lately
from tracking_pipeline.health.readings.arrivals import account
from tracking_pipeline.health.readings.changes import read_changes
from tracking_pipeline.postgres.server import EmbeddedPostgres
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline.wiring.health import health_config

_CONFIG = health_config(Settings(_env_file=None))
DENSE_PACE = WINDOW_SECONDS / 10_000_000
_FIRST_BUDGET_SECONDS = 3600.0
_EVENTS_A_ROUND = 200
_SEED_STEP = 1_000_000

# Ids in order, as time has; the newest event is a minute old.
_SEED: LiteralString = """
insert into wm_event_log (id, event_id, event_name, event_type, event_time, created_at, user_data)
select id, id, (array['Lead', 'Purchase', 'lead_captured'])[1 + i %% 3], 'conversion', moment,
    moment, jsonb_build_object('em', md5('e' || i) || md5('f' || i), 'client_user_agent', 'Mozilla')
from (
    select i, ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
        now() - interval '1 minute' - (%(rows)s - i) * %(pace)s * interval '1 second'
    from generate_series(%(first)s, %(last)s) as i) as s (i, id, moment)
"""
# The roll-up of match keys as benchmarks.health measures it, in one statement.
_MATCH_KEYS: LiteralString = """
with counted as (
    insert into tracking_match_key_hourly (hour, event_name, keys, events)
    select date_trunc('hour', created_at, 'UTC'), event_name, i, count(*)
    from wm_event_log, generate_series(1, 1) as i
    group by 1, 2, 3
)
insert into tracking_rollup_progress (name, rule, rolled_until) values ('match_keys', %s, now())
"""
_FAIL: LiteralString = """
insert into tracking_failed_events (event_id, event_name, event_payload, destination, error_message)
select event_id, event_name, '{}', 'meta_capi', 'timeout'
from wm_event_log where created_at > now() - interval '1 day' order by created_at desc
offset %s limit %s
"""


@dataclass(frozen=True)
class Ledger:
    """A database with a ledger that was counted once, ``events_a_second`` of those that the
    accounting goes back to."""

    name: str
    rows: int
    url: str
    events_a_second: float


def fill(postgres: EmbeddedPostgres, name: str, rows: int, pace_seconds: float) -> Ledger:
    """Makes a ledger of ``rows`` events, one every ``pace_seconds``, and counts it."""
    url = postgres.ensure_database(name)
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(1, rows + 1, _SEED_STEP):
            last = min(first + _SEED_STEP - 1, rows)
            connection.execute(
                _SEED, {"rows": rows, "pace": pace_seconds, "first": first, "last": last}
            )
        connection.execute(_MATCH_KEYS, (_CONFIG.counting.conversions.text,))
        # From the first failure on, the destination is in use.
        connection.execute(_FAIL, (0, _EVENTS_A_ROUND))
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
        started = time.perf_counter()
        account(connection, _CONFIG.accounting, time_budget_seconds=_FIRST_BUDGET_SECONDS)
        took = time.perf_counter() - started
        connection.execute("vacuum analyze")
        row = connection.execute("select sum(events) from tracking_delivery_hourly").fetchone()
    return Ledger(name, rows, url, float(row[0] if row else 0) / took)


def seconds_of_round(url: str, number: int) -> dict[str, float]:
    """How long it takes to count 200 failures that are new, to read the accounting, and to look
    for what changed in the ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FAIL, (number * _EVENTS_A_ROUND, _EVENTS_A_ROUND))
        started = time.perf_counter()
        left = account(connection, _CONFIG.accounting).left
        counted = time.perf_counter()
        with one_moment(connection) as now:
            found = read_lately(connection, _CONFIG, now)
            read_delivery_rate(connection, _CONFIG, now)
            read = time.perf_counter()
            read_changes(connection, _CONFIG)
        looked = time.perf_counter()
    if left or found.destinations["meta_capi"].total.difference:
        raise RuntimeError("the accounting does not add up")
    return {
        "count": counted - started,
        "read": read - counted,
        "watch": looked - read,
        "round": looked - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--dense-rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pace = WINDOW_SECONDS / SHORT_ROWS
    with temporary_postgres() as postgres:
        ledgers = [
            fill(postgres, "short", SHORT_ROWS, pace),
            fill(postgres, "long", options.rows, pace),
            fill(postgres, "dense", options.dense_rows, DENSE_PACE),
        ]
        rounds = [
            [seconds_of_round(ledger.url, number) for ledger in ledgers]
            for number in range(1, options.rounds + 1)
        ]
    parts = list(rounds[0][0])
    seconds = {
        ledger.name: {part: statistics.median(each[at][part] for each in rounds) for part in parts}
        for at, ledger in enumerate(ledgers)
    }
    # Of rounds that ran one after another, so that a busy machine slows all alike.
    times = {
        ledger.name: statistics.median(each[at]["round"] / each[0]["round"] for each in rounds)
        for at, ledger in enumerate(ledgers)
    }
    if options.json:
        print(json.dumps({"seconds": seconds, "times_short": times}))
    else:
        print(f"{'ledger':8}{'events':>12}{'count':>10}{'read':>10}{'watch':>10}{'times':>8}"
              f"{'first count':>18}")  # fmt: skip
        for ledger in ledgers:
            took = "".join(
                f"{1000 * seconds[ledger.name][part]:7.0f} ms"
                for part in ("count", "read", "watch")
            )
            first = f"{ledger.events_a_second:,.0f} events/s"
            print(f"{ledger.name:8}{ledger.rows:12,}{took}{times[ledger.name]:8.2f}{first:>18}")
    sys.exit(any(each > MOST_TIMES for each in times.values()))


if __name__ == "__main__":
    main()
