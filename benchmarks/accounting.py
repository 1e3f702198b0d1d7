"""What delivery accounting costs on a long ledger beside a short one.

    python -m benchmarks.accounting [--rows N] [--rounds N] [--json]

Two ledgers at the same pace, all conversions: 100,000 events within the last 7 days, and N events
(3 million), so over months. The history of each is counted first. Then rounds take turns: 200 of
the last day's events fail, a pass counts what has changed, and the accounting of 7 days is read.
It ends by itself, with 1 where a round on the long ledger costs over 1.3 times one on the short.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import psycopg

from benchmarks.health import MOST_TIMES, SHORT_ROWS, WINDOW_SECONDS, fill
from benchmarks.retry_stand import temporary_postgres
from tracking_pipeline.health.readings.accounting import read_lately
from tracking_pipeline.health.readings.arrivals import account
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.database import one_moment
from tracking_pipeline.wiring.health import health_config

_FAIL = """
insert into tracking_failed_events (event_id, event_name, event_payload, destination, error_message)
select event_id, event_name, '{}', 'meta_capi', 'timeout'
from wm_event_log where created_at > now() - interval '1 day' order by created_at desc
offset %s limit 200
"""
_EVENTS_A_ROUND = 200


def seconds_of_round(url: str, number: int) -> float:
    """How long it takes to count 200 failures that are new, and to read the accounting."""
    config = health_config(Settings(_env_file=None))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FAIL, (number * _EVENTS_A_ROUND,))
        started = time.perf_counter()
        account(connection, config.accounting, time_budget_seconds=3600)
        with one_moment(connection) as now:
            found = read_lately(connection, config, now)
        took = time.perf_counter() - started
    if found.destinations["meta_capi"].total.difference:
        raise RuntimeError("the accounting does not add up")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pace = WINDOW_SECONDS / SHORT_ROWS
    with temporary_postgres() as postgres:
        ledgers = [
            fill(postgres, name, rows, pace)
            for name, rows in (("short", SHORT_ROWS), ("long", options.rows))
        ]
        times: dict[str, list[float]] = {ledger.name: [] for ledger in ledgers}
        for number in range(options.rounds):
            for ledger in ledgers:
                times[ledger.name].append(seconds_of_round(ledger.url, number))
    medians = {name: statistics.median(each) for name, each in times.items()}
    ratio = medians["long"] / medians["short"]
    if options.json:
        print(json.dumps({"rows": options.rows, "seconds": medians, "times": round(ratio, 3)}))
    else:
        for name, seconds in medians.items():
            print(f"{name:6} {1000 * seconds:7.0f} ms a round")
        print(f"a round on the long ledger costs {ratio:.2f} times one on the short")
    sys.exit(int(ratio > MOST_TIMES))


if __name__ == "__main__":
    main()
