"""How fast the retry engine empties a queue, beside what else could empty it on the same machine.

    python -m benchmarks.retry [--events N] [--only NAME] [--quick] [--json]

Everything is measured in one run, on loopback, and reported as ratios: the rates themselves belong
to the machine. `benchmarks/README.md` says what each figure means. It ends by itself, with 1 where
a bound is missed.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from benchmarks.retry_engines import (
    IN_FLIGHT,
    claim_and_settle,
    post_with_aiohttp,
    post_with_httpx,
    record_posts,
    send_one_by_one,
)
from benchmarks.retry_figures import Figure, row, table, this_machine
from benchmarks.retry_isolation import rate_alone, rate_beside_hanging, rate_beside_refusing
from benchmarks.retry_memory import megabytes_of_drain
from benchmarks.retry_pgqueuer import jobs_a_second, pgqueuer_version
from benchmarks.retry_stand import Stand, drain, events_a_second, processor_milliseconds, standing
from tracking_pipeline.delivery.destinations.registry import DestinationName

BATCH_LATENCY_SECONDS = 0.05
SINGLE_LATENCY_SECONDS = 0.02
ROUNDS = 3


@dataclass(frozen=True)
class Scale:
    """How many events each measure takes. ``alone`` are those that are posted one by one."""

    batched: int = 20_000
    single: int = 5_000
    alone: int = 2_000
    sequential: int = 100
    memory: tuple[int, int] = (10_000, 300_000)


QUICK = Scale(batched=4_000, single=500, alone=300, sequential=20, memory=(2_000, 8_000))


def rate_of_drain(stand: Stand, name: DestinationName, events: int) -> float:
    """Events a second of one retry run over one destination; raises unless all were delivered."""
    with stand.database(**{name: events}) as url:

        def work() -> None:
            resolved = drain(url, [name], stand.addresses).total("resolved")
            if resolved != events:
                raise RuntimeError(f"{resolved} of {events} events reached {name}")

        return events_a_second(events, work)


def time_of_drain(stand: Stand, name: DestinationName, events: int) -> Figure:
    """What one retry run takes of the processor, with its start and its end."""
    with stand.database(**{name: events}) as url:
        spent = processor_milliseconds(events, lambda: drain(url, [name], stand.addresses))
    return Figure(name, "processor time of the engine, 1,000 events", spent, "ms")


def rate_of_base(stand: Stand, name: DestinationName, events: int, batch: int) -> float:
    with stand.database(**{name: events}) as url:
        return events_a_second(events, lambda: claim_and_settle(url, name, batch))


def batched(stand: Stand, scale: Scale, name: DestinationName, batch: int) -> Iterator[Figure]:
    """A destination that takes many events a request."""
    stand.set_conditions(name, latency_seconds=0.0)
    posts = record_posts(stand, name, scale.alone)
    stand.set_conditions(name, latency_seconds=BATCH_LATENCY_SECONDS)
    ours, base = interleaved(
        lambda: rate_of_drain(stand, name, scale.batched),
        lambda: rate_of_base(stand, name, scale.batched, batch),
    )
    with stand.database(**{name: scale.sequential}) as url:
        sequential = events_a_second(scale.sequential, lambda: send_one_by_one(url, name, posts))
    yield Figure(name, "retry engine", ours, "events/s")
    yield time_of_drain(stand, name, scale.batched)
    yield Figure(name, f"claim and settle alone, {batch:,} a batch", base, "events/s")
    yield Figure(name, "engine / claim and settle alone", ours / base, "x", at_least=1 / 3)
    yield Figure(name, "sequential design", sequential, "events/s")
    yield Figure(name, "engine / sequential design", ours / sequential, "x", at_least=200)
    if pgqueuer_version():
        rival = jobs_a_second(stand, posts)
        yield Figure(name, f"PgQueuer, one event a POST, {IN_FLIGHT} in flight", rival, "events/s")
        yield Figure(name, "engine / PgQueuer", ours / rival, "x", at_least=1)


def single(stand: Stand, scale: Scale) -> Iterator[Figure]:
    """A destination that takes one event a request."""
    name: DestinationName = "gtm_server"
    posts = record_posts(stand, name, scale.single)
    stand.set_conditions(name, latency_seconds=SINGLE_LATENCY_SECONDS)
    ways = [
        lambda: rate_of_drain(stand, name, scale.single),
        lambda: events_a_second(scale.single, lambda: post_with_httpx(posts)),
        lambda: events_a_second(scale.single, lambda: post_with_aiohttp(posts)),
    ]
    if pgqueuer_version():
        ways.append(lambda: jobs_a_second(stand, posts))
    ours, httpx_alone, aiohttp_alone, *rivals = interleaved(*ways)
    yield Figure(name, f"retry engine, {IN_FLIGHT} in flight", ours, "events/s")
    yield time_of_drain(stand, name, scale.single)
    yield Figure(name, "the same POSTs, no queue", httpx_alone, "events/s")
    yield Figure(name, "engine / no queue", ours / httpx_alone, "x", at_least=0.7)
    yield Figure(name, "the same POSTs, bare aiohttp", aiohttp_alone, "events/s")
    for rival in rivals:
        yield Figure(name, "PgQueuer", rival, "events/s")
        spent = processor_milliseconds(scale.single, lambda: jobs_a_second(stand, posts))
        yield Figure(
            name, "processor time of PgQueuer, 1,000 events, its filling in it", spent, "ms"
        )
        yield Figure(name, "engine / PgQueuer", ours / rival, "x", at_least=0.9)


def interleaved(*ways: Callable[[], float]) -> list[float]:
    """The median rate of each way, all of them in turn so that a slow minute hits them alike."""
    rounds = [[way() for way in ways] for _ in range(ROUNDS)]
    return [statistics.median(rates) for rates in zip(*rounds, strict=True)]


def memory(stand: Stand, scale: Scale) -> Iterator[Figure]:
    """Whether a drain's memory grows with the queue."""
    stand.set_conditions("meta_capi", latency_seconds=BATCH_LATENCY_SECONDS)
    short, long = (megabytes_of_drain(stand, events) for events in scale.memory)
    few, many = scale.memory
    yield Figure("meta_capi", f"peak memory, {few:,} due", short, "MB", at_most=300)
    yield Figure("meta_capi", f"peak memory, {many:,} due", long, "MB", at_most=300)
    yield Figure("meta_capi", f"{many:,} due / {few:,} due", long / short, "x", at_most=1.2)


def isolation(stand: Stand, scale: Scale) -> Iterator[Figure]:
    """What a dead destination costs its neighbour."""
    name: DestinationName = "meta_capi"
    stand.set_conditions(name, latency_seconds=BATCH_LATENCY_SECONDS)
    ways = (rate_alone, rate_beside_refusing, rate_beside_hanging)
    alone, refusing, hanging = interleaved(
        *(functools.partial(way, stand, name, scale.batched) for way in ways)
    )
    yield Figure(name, "alone", alone, "events/s")
    yield Figure(name, "beside one that refuses / alone", refusing / alone, "x", at_least=0.8)
    yield Figure(name, "beside one that hangs / alone", hanging / alone, "x", at_least=0.8)


MEASURES: dict[str, Callable[[Stand, Scale], Iterator[Figure]]] = {
    "meta_capi": lambda stand, scale: batched(stand, scale, "meta_capi", 1_000),
    "google_ec": lambda stand, scale: batched(stand, scale, "google_ec", 2_000),
    "gtm_server": single,
    "memory": memory,
    "isolation": isolation,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, help="due events of a batched destination")
    parser.add_argument("--only", choices=MEASURES, help="one measure instead of all")
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it out")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    scale = QUICK if options.quick else Scale()
    if options.events:
        scale = Scale(**{**asdict(scale), "batched": options.events})
    logging.disable(logging.WARNING)
    figures: list[Figure] = []
    with standing() as stand:
        machine = this_machine(stand.server_version(), pgqueuer_version())
        for name in [options.only] if options.only else MEASURES:
            for figure in MEASURES[name](stand, scale):
                print(row(figure), file=sys.stderr, flush=True)
                figures.append(figure)
    if options.json:
        shown = {"machine": asdict(machine), "figures": [each.as_json() for each in figures]}
        print(json.dumps(shown, indent=2))
    else:
        print(table(machine, figures))
    sys.exit(any(figure.is_met is False for figure in figures))


if __name__ == "__main__":
    main()
