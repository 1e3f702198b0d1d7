"""A drain that several Celery workers share, all on this machine: ``make scale``.

    python -m benchmarks.scale [--workers N] [--events N]

Starts Redis, Dagster's web server and daemon and N workers with ``deploy/celery``, fills a queue
and changes nothing else: the sensor launches the runs. Prints who delivered how much, and whether
the stand-in got every event once. Leaves nothing running.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.cluster import Cluster, running_cluster

_LEFT = "select count(*) from tracking_failed_events where status <> 'resolved'"
_BY_WORKER = """
select worker, count(*) from tracking_delivery_attempts where outcome = 'delivered'
group by worker order by 2 desc
"""
_SENT_TWICE = """
select count(*) from (
    select from tracking_delivery_attempts group by failed_event_id having sum(requests) > 1) as t
"""
_RUNS = """
select status, count(*) from runs where pipeline_name = 'retry_failed_events_job' group by status
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--events", type=int, default=30_000)
    asked = parser.parse_args()
    print(f"{asked.events:,} due events, answers after 200 ms, {asked.workers} workers")
    with running_cluster(
        workers=asked.workers,
        events=asked.events,
        latency_seconds=0.2,
        web=True,
        RETRY_WORKERS=str(asked.workers),
        GTM_REQUESTS_IN_FLIGHT="128",
    ) as cluster:
        print(f"The Dagster UI comes up at http://127.0.0.1:{cluster.ui_port}", flush=True)
        sys.exit(_show(cluster))


def _show(cluster: Cluster) -> int:
    started, told = time.monotonic(), 0.0
    while left := cluster.ask(_LEFT)[0][0]:
        if time.monotonic() - told > 10:
            told = time.monotonic()
            runs = ", ".join(f"{n} {status.lower()}" for status, n in cluster.ask_dagster(_RUNS))
            print(f"{told - started:4.0f} s  {left:6,} left; retry runs: {runs or 'none yet'}")
        if time.monotonic() - started > 600:
            print("not drained within ten minutes: see the logs below", file=sys.stderr)
            for log in sorted(cluster.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-1500:]}", file=sys.stderr)
            return 1
        time.sleep(0.5)
    print("\ndelivered by")
    for worker, count in cluster.ask(_BY_WORKER):
        print(f"  {worker:30} {count:7,}")
    twice = cluster.ask(_SENT_TWICE)[0][0]
    print(f"events sent twice: {twice}")
    return 1 if twice else 0


if __name__ == "__main__":
    main()
