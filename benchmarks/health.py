"""What a health check costs on a long ledger beside a short one.

    python -m benchmarks.health [--rows N] [--rounds N] [--json]

Three ledgers, all conversions, on one server:

    short   100,000 events within the last 7 days
    long    N events (10 million) at the same pace, so over years
    dense   N events within the last 7 days

The first check of each counts its whole history and is told apart: how many events a second, and
how much more memory it took than that of the short one. Then checks of all three take turns. It
ends by itself, with 1 where a check of a big ledger costs over 1.3 times one of the short ledger.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import time
from dataclasses import asdict, dataclass

import psycopg
from typing_extensions import LiteralString

from benchmarks.retry_stand import temporary_postgres
from tracking_pipeline.health.check import record_reading, take_reading
from tracking_pipeline.health.readings.arrivals import account
from tracking_pipeline.postgres.server import EmbeddedPostgres
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.migrate import migrate
from tracking_pipeline.wiring.health import health_config

SHORT_ROWS = 100_000
WINDOW_SECONDS = 7 * 24 * 3600
MOST_TIMES = 1.3
# Long enough for any history: the benchmark measures how long that takes.
_ROLL_UP_BUDGET_SECONDS = 3600.0

# What a site's ledger holds: hashes, browser ids, and of each key now and then none. Every event
# has ids of its own, in order, as time has; the last one is a minute old.
_SEED: LiteralString = """
insert into wm_event_log (id, event_id, event_name, event_type, event_time, created_at, fbp,
    user_data)
select md5('row' || i)::uuid, ('00000000-0000-4000-8000-' || lpad(to_hex(i), 12, '0'))::uuid,
    (array['Lead', 'Purchase', 'lead_captured'])[1 + i %% 3], 'conversion', moment, moment,
    case when i %% 5 > 0 then 'fb.1.1700000000000.' || i end,
    jsonb_strip_nulls(jsonb_build_object(
        'em', case when i %% 4 > 0 then encode(sha256(('e' || i)::bytea), 'hex') end,
        'ph', case when i %% 3 > 0 then encode(sha256(('p' || i)::bytea), 'hex') end,
        'fbc', case when i %% 7 = 0 then 'fb.1.1700000000000.IwAR' || i end,
        'client_ip_address', '8.8.' || i %% 250 || '.' || i %% 249,
        'client_user_agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/' || i %% 40))
from (
    select i, now() - interval '1 minute' - (%(rows)s - i) * %(pace)s * interval '1 second'
    from generate_series(%(first)s, %(last)s) as i) as s (i, moment)
"""
_FAILED: LiteralString = """
insert into tracking_failed_events (event_id, event_name, event_payload, destination, error_message,
    status, created_at)
select gen_random_uuid(), 'Lead', '{}', 'meta_capi', 'timeout',
    case when i % 100 = 0 then 'pending' else 'resolved' end, now() - i * interval '1 minute'
from generate_series(1, 20000) as i
"""
_SEED_STEP = 500_000


@dataclass(frozen=True)
class Ledger:
    """A database with a ledger, whose first check has been done.

    ``first_events_a_second`` is the pace of that check, ``first_extra_mb`` how far it raised this
    process's highest memory.
    """

    name: str
    rows: int
    url: str
    first_events_a_second: float
    first_extra_mb: float


def fill(postgres: EmbeddedPostgres, name: str, rows: int, pace_seconds: float) -> Ledger:
    """Makes a ledger of ``rows`` events, one every ``pace_seconds``, and counts it once."""
    url = postgres.ensure_database(name)
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(1, rows + 1, _SEED_STEP):
            last = min(first + _SEED_STEP - 1, rows)
            connection.execute(
                _SEED, {"rows": rows, "pace": pace_seconds, "first": first, "last": last}
            )
        connection.execute(_FAILED)
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
    before, started = _highest_mb(), time.perf_counter()
    counted = check(url)
    seconds = time.perf_counter() - started
    with psycopg.connect(url, autocommit=True) as connection:
        # What the budget of a check leaves of the accounting.
        rule = health_config(Settings(_env_file=None)).accounting
        account(connection, rule, time_budget_seconds=_ROLL_UP_BUDGET_SECONDS)
    if counted != rows:
        raise RuntimeError(f"{counted} of {rows} events were counted")
    return Ledger(name, rows, url, rows / seconds, _highest_mb() - before)


def check(url: str) -> int:
    """One check; gives how many events it counted."""
    policy = health_config(Settings(_env_file=None))
    reading = take_reading(url, policy, roll_up_budget_seconds=_ROLL_UP_BUDGET_SECONDS)
    record_reading(url, reading)
    return reading.rolled_up.events


def seconds_of_check(url: str) -> float:
    """How long one check takes that has nothing new to count."""
    started = time.perf_counter()
    check(url)
    return time.perf_counter() - started


def _highest_mb() -> float:
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / 1024 if platform.system() == "Linux" else highest / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    paces = {
        "short": (SHORT_ROWS, WINDOW_SECONDS / SHORT_ROWS),
        "long": (options.rows, WINDOW_SECONDS / SHORT_ROWS),
        "dense": (options.rows, WINDOW_SECONDS / options.rows),
    }
    with temporary_postgres() as postgres:
        ledgers = [fill(postgres, name, *shape) for name, shape in paces.items()]
        rounds = [
            [seconds_of_check(ledger.url) for ledger in ledgers] for _ in range(options.rounds)
        ]
    seconds = [statistics.median(times) for times in zip(*rounds, strict=True)]
    # Of checks that ran one after another, so that a busy machine slows both sides alike.
    times = [statistics.median(each[at] / each[0] for each in rounds) for at in range(len(ledgers))]
    if options.json:
        shown = [
            {**{k: v for k, v in asdict(ledger).items() if k != "url"}, "check_seconds": took,
             "times_short": ratio}
            for ledger, took, ratio in zip(ledgers, seconds, times, strict=True)
        ]  # fmt: skip
        print(json.dumps(shown))
    else:
        print(
            f"{'ledger':8}{'events':>12}{'check':>10}{'times':>8}{'first check':>18}{'memory':>10}"
        )
        for ledger, took, ratio in zip(ledgers, seconds, times, strict=True):
            first = f"{ledger.first_events_a_second:,.0f} events/s"
            print(
                f"{ledger.name:8}{ledger.rows:12,}{took * 1000:7.0f} ms{ratio:8.2f}{first:>18}"
                f"{ledger.first_extra_mb:+7.0f} MB"
            )
    sys.exit(any(ratio > MOST_TIMES for ratio in times))


if __name__ == "__main__":
    main()
