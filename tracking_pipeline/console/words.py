"""How counts, states and spans of time are shown."""

from __future__ import annotations

from rich.text import Text

_STATE_STYLES = {
    "ok": "green",
    "probing": "yellow",
    "throttled": "yellow",
    "paused": "red",
    "not_configured": "dim",
}


def span(seconds: float | None) -> str:
    """A length of time in its largest fitting unit."""
    if seconds is None:
        return ""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def state_text(state: str) -> Text:
    """A state in its colour."""
    return Text(state.replace("_", " "), style=_STATE_STYLES.get(state, ""))


def count_text(count: int, style: str = "") -> Text:
    """A count in its colour; a zero is dim."""
    return Text(str(count), style=style if count else "dim")
