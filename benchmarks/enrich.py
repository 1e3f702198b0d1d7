"""How fast leads get a place from a local file, beside what the database alone allows.

    python -m benchmarks.enrich [--leads N] [--quick] [--json]

Everything is measured in one run, on loopback. `benchmarks/README.md` says what each figure means.
It ends by itself, with 1 where a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.enrich_memory import megabytes_of_run
from benchmarks.enrich_stand import Stand, enrich, standing, write_file
from benchmarks.retry_figures import Figure, row
from benchmarks.retry_stand import events_a_second
from tracking_pipeline import OBJECTS_BETWEEN_COLLECTIONS
from tracking_pipeline.geo.enrich import BATCH_LEADS
from tracking_pipeline.store.database import connection_pool
from tracking_pipeline.store.lead_places import FoundPlace, save_found
from tracking_pipeline.store.leads import BEGINNING, LeadsWanted, claim_leads

# ip-api's free service: 15 requests a minute, 100 addresses each.
IP_API_LEADS_A_SECOND = 15 * 100 / 60
ROUNDS = 3


@dataclass(frozen=True)
class Scale:
    """How many leads each measure takes."""

    leads: int = 100_000
    memory: tuple[int, int] = (10_000, 1_000_000)


QUICK = Scale(leads=10_000, memory=(2_000, 20_000))


def rate_of_run(stand: Stand, file: Path, leads: int) -> float:
    """Leads a second of one enrichment run, as the job does it; raises unless all got a place."""
    with stand.database(leads) as url:

        def work() -> None:
            enriched = enrich(url, file).enriched
            if enriched != leads:
                raise RuntimeError(f"{enriched} of {leads} leads were enriched")

        return events_a_second(leads, work)


def rate_of_base(stand: Stand, leads: int) -> float:
    """Leads a second through the same two statements, with one place for all and no look-up."""
    with stand.database(leads) as url:
        return events_a_second(leads, lambda: asyncio.run(_read_and_write(url)))


async def _read_and_write(url: str) -> None:
    source = "nowhere"
    position = BEGINNING
    async with connection_pool(url, size=1) as pool, pool.connection() as connection:
        while True:
            async with connection.transaction():
                leads = await claim_leads(connection, LeadsWanted(), position, BATCH_LEADS)
                if not leads:
                    return
                position = leads[-1].position
                await save_found(
                    connection,
                    [
                        FoundPlace(
                            lead.id,
                            "ok",
                            city="San Jose",
                            city_source=source,
                            state="California",
                            state_source=source,
                            state_code="CA",
                            country="US",
                            country_source=source,
                        )
                        for lead in leads
                    ],
                )


def interleaved(*ways: Callable[[], float]) -> list[float]:
    """The median rate of each way, all of them in turn so that a slow minute hits them alike."""
    rounds = [[way() for way in ways] for _ in range(ROUNDS)]
    return [statistics.median(rates) for rates in zip(*rounds, strict=True)]


def figures(stand: Stand, scale: Scale, file: Path) -> Iterator[Figure]:
    """All figures, each as soon as it is known."""
    ours, base = interleaved(
        lambda: rate_of_run(stand, file, scale.leads), lambda: rate_of_base(stand, scale.leads)
    )
    yield Figure("mmdb", "enrichment run", ours, "leads/s")
    yield Figure("mmdb", "reading and writing alone", base, "leads/s")
    yield Figure("mmdb", "run / reading and writing alone", ours / base, "x", at_least=0.85)
    per_limit = ours / IP_API_LEADS_A_SECOND
    yield Figure("mmdb", "run / ip-api's free batch limit", per_limit, "x", at_least=200)
    few, many = scale.memory
    short, long = (megabytes_of_run(stand, file, leads) for leads in scale.memory)
    yield Figure("mmdb", f"peak memory, {few:,} leads", short, "MB")
    yield Figure("mmdb", f"peak memory, {many:,} leads", long, "MB")
    yield Figure("mmdb", f"{many:,} leads / {few:,} leads", long / short, "x", at_most=1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leads", type=int, help="how many leads are enriched")
    parser.add_argument("--quick", action="store_true", help="small numbers, to try it out")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    scale = QUICK if options.quick else Scale()
    if options.leads:
        scale = Scale(options.leads, scale.memory)
    logging.disable(logging.WARNING)
    # As the command does.
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder, standing() as stand:
        file = write_file(Path(folder) / "places.mmdb")
        for figure in figures(stand, scale, file):
            print(row(figure), file=sys.stderr, flush=True)
            found.append(figure)
    if options.json:
        print(json.dumps({"figures": [each.as_json() for each in found]}, indent=2))
    sys.exit(any(figure.is_met is False for figure in found))


if __name__ == "__main__":
    main()
