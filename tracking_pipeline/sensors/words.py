"""Numbers and spans of time in skip reasons."""

from tracking_pipeline.store.queue_counts import BACKLOG_CAP


def number(count: int) -> str:
    """A count that may have stopped at its cap: "10000+"."""
    return f"{count}+" if count >= BACKLOG_CAP else str(count)


def span(seconds: float) -> str:
    """As in "40 s", "4 min"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
