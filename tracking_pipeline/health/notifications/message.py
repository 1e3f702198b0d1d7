"""What a channel is told when several messages wait for it: one message. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tracking_pipeline.store.alert_notifications import Claimed

# More would be cut by some services, and read by nobody.
MOST_TOLD = 20

Tone = Literal["failure", "warning", "success"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one channel. ``tone`` is Apprise's notify type: it chooses colour and icon."""

    title: str
    body: str
    tone: Tone


def message_of(rows: Sequence[Claimed], *, is_rehearsal: bool = False) -> Message:
    """The message that tells all these rows, oldest first; there is at least one.

    A reminder is left out where a later row tells of the same alert. That of a rehearsal says so in
    its title: nobody should get up at night for sample data.
    """
    told = [row for at, row in enumerate(rows) if not _is_overtaken(row, rows[at + 1 :])]
    tone = _tone(told)
    mark = "[rehearsal] " if is_rehearsal else ""
    if len(told) == 1:
        return Message(mark + told[0].title, told[0].body, tone)
    parts = [f"{row.title}\n{row.body}".strip() for row in told[:MOST_TOLD]]
    if len(told) > MOST_TOLD:
        parts.append(f"... and {len(told) - MOST_TOLD} more")
    return Message(mark + _heading(told), "\n\n".join(parts), tone)


def _is_overtaken(row: Claimed, later: Sequence[Claimed]) -> bool:
    return row.kind == "reminder" and any(
        (each.alert_type, each.alert_id) == (row.alert_type, row.alert_id) for each in later
    )


def _tone(rows: Sequence[Claimed]) -> Tone:
    severities = {row.severity for row in rows if row.kind != "ended"}
    if "critical" in severities:
        return "failure"
    return "warning" if severities else "success"


def _heading(rows: Sequence[Claimed]) -> str:
    """As in "3 tracking alerts: 2 critical, 1 over"."""
    counts = Counter("over" if row.kind == "ended" else row.severity for row in rows)
    parts = [f"{counts[name]} {name}" for name in ("critical", "warning", "over") if counts[name]]
    return f"{len(rows)} tracking alerts: {', '.join(parts)}"
