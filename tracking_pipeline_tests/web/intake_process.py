"""The API in a process of its own, for a test that kills it.

    python intake_process.py DATABASE_URL

Prints its address and serves until its standard input is closed.
"""

from __future__ import annotations

import faulthandler
import sys

from tracking_pipeline_tests.web.intake_site import KEY, served

DESTINATIONS = ("meta_capi", "gtm_server")
# A test that fails must not leave its server behind.
LONGEST_LIFE_SECONDS = 120


def main() -> None:
    """One server."""
    faulthandler.dump_traceback_later(LONGEST_LIFE_SECONDS, exit=True)
    settings = {
        "intake_key": KEY,
        "intake_requests_per_minute": 1_000_000,
        "log_event_forward_to": DESTINATIONS,
    }
    with served(sys.argv[1], **settings) as address:
        sys.stdout.write(address + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
