"""The peak memory of a process that drains the queue of meta_capi.

    python -m benchmarks.retry_memory DATABASE_URL META_URL

Run as a process of its own by the benchmark: prints its peak in MB, and how many events it
delivered, as one JSON object.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.retry_stand import Addresses, Stand, drain

_STATUS = Path("/proc/self/status")


def megabytes_of_drain(stand: Stand, events: int) -> float:
    """The peak of a fresh process that drains so many due events of ``meta_capi``."""
    with stand.database(meta_capi=events) as url:
        told = subprocess.run(
            [sys.executable, "-m", "benchmarks.retry_memory", url, stand.addresses.meta],
            check=True,
            capture_output=True,
        )
    found = json.loads(told.stdout)
    if found["resolved"] != events:
        raise RuntimeError(f"{found['resolved']} of {events} events reached meta_capi")
    return float(found["megabytes"])


def peak_megabytes() -> float:
    """The most memory that this process has held. Where Linux tells it, not ``ru_maxrss``: that one
    begins with what the parent held when it started us."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    in_bytes = sys.platform == "darwin"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if in_bytes else peak / 1024


def main() -> None:
    url, meta_url = sys.argv[1:]
    resolved = drain(url, ["meta_capi"], Addresses(meta_url, "", "")).total("resolved")
    print(json.dumps({"megabytes": peak_megabytes(), "resolved": resolved}))


if __name__ == "__main__":
    main()
