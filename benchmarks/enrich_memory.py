"""The peak memory of a process that enriches leads from a local file.

    python -m benchmarks.enrich_memory DATABASE_URL FILE

Run as a process of its own by the benchmark: prints its peak in MB, and how many leads it enriched,
as one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.enrich_stand import Stand, enrich
from benchmarks.retry_memory import peak_megabytes


def megabytes_of_run(stand: Stand, file: Path, leads: int) -> float:
    """The peak of a fresh process that enriches so many leads."""
    with stand.database(leads) as url:
        told = subprocess.run(
            [sys.executable, "-m", "benchmarks.enrich_memory", url, str(file)],
            check=True,
            capture_output=True,
        )
    found = json.loads(told.stdout)
    if found["enriched"] != leads:
        raise RuntimeError(f"{found['enriched']} of {leads} leads were enriched")
    return float(found["megabytes"])


def main() -> None:
    url, file = sys.argv[1:]
    enriched = enrich(url, Path(file)).enriched
    print(json.dumps({"megabytes": peak_megabytes(), "enriched": enriched}))


if __name__ == "__main__":
    main()
