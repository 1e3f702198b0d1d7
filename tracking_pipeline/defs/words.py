"""Counts in skip reasons."""

from tracking_pipeline.store.queue_counts import BACKLOG_CAP


def number(count: int) -> str:
    """A count that may have stopped at its cap: "10000+"."""
    return f"{count}+" if count >= BACKLOG_CAP else str(count)
