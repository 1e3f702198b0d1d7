"""Up to when the ledger is final: nothing will appear in it that was created before. Pure.

A row's ``created_at`` is the start of the transaction that wrote it, and the row shows when that
transaction commits. So what was created before the oldest transaction still running began is
final; a roll-up that read further would lose what commits late.

When a transaction of another role began is hidden from most roles. Then it is known only that it
began after the last look, if it was not running at that look, and nothing otherwise: the roll-up
comes one check later, and waits as long as a transaction that was seen goes on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from tracking_pipeline.store.rollup_progress import Progress, RunningTransaction

# A transaction's now() is the moment at which its first statement arrives; a busy server lists it
# as running a little later.
HOLD_BACK = timedelta(seconds=10)


def final_until(
    now: datetime, running: Collection[RunningTransaction], progress: Progress
) -> datetime | None:
    """The moment before which all is final, given the transactions that run at ``now``. None where
    nothing can be said."""
    bounds: list[datetime | None] = [now]
    for transaction in running:
        if transaction.began_at is not None:
            bounds.append(transaction.began_at)
        elif transaction.id in progress.seen_transactions:
            bounds.append(progress.rolled_until)
        else:
            bounds.append(progress.seen_at)
    known = [bound for bound in bounds if bound is not None]
    return min(known) - HOLD_BACK if len(known) == len(bounds) else None


def look_again(
    now: datetime, running: Collection[RunningTransaction], progress: Progress
) -> Progress:
    """The progress with what was seen at ``now``, unless a transaction of the last look still runs:
    that look is the only bound on when the others began."""
    hidden = frozenset(each.id for each in running if each.began_at is None)
    if hidden & progress.seen_transactions:
        return progress
    return replace(progress, seen_at=now, seen_transactions=hidden)
