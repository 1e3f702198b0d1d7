"""Workers, databases and sinks that fail, and fifteen promises that hold all the same.

    python -m tracking_pipeline_tests.chaos [--seed S] [--rounds N] [--only TEXT] [--output FILE]

Each round plays every fault once, with dice of its own seed. Prints each scenario as it ends and
the matrix of faults and invariants at the end; ends with 1 where one is broken. A seed plays the
same scenario again, as far as several processes can.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tracking_pipeline.store.migrate import migrate
from tracking_pipeline_tests.chaos.faults import FAULTS
from tracking_pipeline_tests.chaos.matrix import Cell, Grounds, as_markdown, run_cell
from tracking_pipeline_tests.chaos.nursery import Nursery
from tracking_pipeline_tests.servers import find_server_binaries, reachable_folder, start_server

_TEMPLATE = "chaos_template"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, help="of the first round; the others count up from it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="faults with this in their name")
    parser.add_argument("--output", type=Path, help="where the matrix goes, as Markdown")
    asked = parser.parse_args()
    first = random.SystemRandom().randrange(10_000) if asked.seed is None else asked.seed
    binaries = find_server_binaries()
    server = start_server(binaries[max(binaries)], reachable_folder())
    cells: list[Cell] = []
    try:
        migrate(server.create_database(_TEMPLATE))
        with tempfile.TemporaryDirectory() as folder, Nursery() as nursery:
            grounds = Grounds(server, _TEMPLATE, nursery, Path(folder))
            for seed in range(first, first + asked.rounds):
                print(f"seed {seed}", flush=True)
                for fault in FAULTS:
                    if asked.only.lower() in fault.label.lower():
                        cells.append(run_cell(grounds, fault, seed))
                        _tell(cells[-1])
    finally:
        server.stop()
    matrix = as_markdown(cells)
    print(f"\n{matrix}")
    if asked.output:
        asked.output.write_text(matrix)
    sys.exit(any(cell.broken for cell in cells))


def _tell(cell: Cell) -> None:
    held = sum(lines == [] for lines in cell.violations.values())
    print(f"  {cell.fault.label}: {held} hold, {cell.seconds:.1f} s", flush=True)
    for line in cell.broken[:10]:
        print(f"    BROKEN {line}", flush=True)


if __name__ == "__main__":
    main()
