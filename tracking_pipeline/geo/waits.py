"""How long to leave an address, and an online source, alone after it gave no answer."""

from __future__ import annotations

from datetime import timedelta

FIRST_WAIT = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=2)
MOST_LOOK_UPS_AGAIN = 5

# The source itself: a restart of a minute costs a minute, an outage of a day a request each half
# hour.
FIRST_HOLD_SECONDS = 60.0
LONGEST_HOLD_SECONDS = 30 * 60.0


def next_ask(attempts: int) -> timedelta | None:
    """The wait before an address is looked up again after ``attempts`` look-ups that failed: 5, 10,
    20, 40 and 80 minutes, never over two hours; ``None`` where it is given up.

    Raises ``ValueError`` where no look-up has failed yet.
    """
    if attempts < 1:
        raise ValueError("an address that was never looked up has nothing to wait for")
    if attempts > MOST_LOOK_UPS_AGAIN:
        return None
    return min(FIRST_WAIT * (1 << (attempts - 1)), LONGEST_WAIT)
