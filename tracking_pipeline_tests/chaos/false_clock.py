"""The clocks of a worker process, which may be wrong.

To be installed before anything else is imported, as `faketime` would be. The time of day is off by
a skew from the beginning; a process that was stopped finds, when it goes on, that time went by.
"""

from __future__ import annotations

import signal
import time

JUMP_SECONDS = 90.0
"""What SIGUSR1 lets go by, on the monotonic clock and on the time of day."""

_time, _monotonic = time.time, time.monotonic


class _Off:
    skew = 0.0
    jumped = 0.0


def install() -> None:
    """Puts the false clocks in place of the real ones; they are right until they are set wrong."""
    time.time = lambda: _time() + _Off.skew + _Off.jumped
    time.monotonic = lambda: _monotonic() + _Off.jumped


def set_wrong(skew_seconds: float) -> None:
    """From now on the time of day is off by so much, and SIGUSR1 makes both clocks jump."""
    _Off.skew = skew_seconds

    def jump(*_: object) -> None:
        _Off.jumped += JUMP_SECONDS

    signal.signal(signal.SIGUSR1, jump)
