"""Made-up series of checks, and what an alert makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from tracking_pipeline.health.alerts.due import DueMessage, due_message
from tracking_pipeline.health.alerts.rules import AlertState, Transition, step
from tracking_pipeline.health.config import AlertRules, NotificationRules
from tracking_pipeline.health.thresholds import ThresholdResult

START = datetime(2026, 11, 24, 10, 0, tzinfo=timezone.utc)
EVERY = timedelta(minutes=15)

# One letter a check. A capital value is on the wrong side of its threshold; `a` and `b` are back on
# the right side of it, but not of its clear threshold.
RESULTS = {
    ".": ThresholdResult("ok", "ok", 9.0, 7.0),
    "a": ThresholdResult("ok", "warning", 7.1, 7.0),
    "W": ThresholdResult("warning", "warning", 6.0, 7.0),
    "b": ThresholdResult("warning", "critical", 4.1, 7.0),
    "C": ThresholdResult("critical", "critical", 3.0, 4.0),
    "?": ThresholdResult("no_data", "no_data", None, 7.0),
}


@dataclass
class Watch:
    """One alert through a series of checks, a quarter of an hour apart."""

    rules: AlertRules = field(default_factory=AlertRules)
    notify: NotificationRules = field(default_factory=NotificationRules)
    state: AlertState = field(default_factory=AlertState)
    now: datetime = START
    transitions: list[Transition] = field(default_factory=list)
    messages: list[DueMessage] = field(default_factory=list)

    def see(self, series: Iterable[str]) -> Watch:
        for letter in series:
            self.now += EVERY
            self.check(letter)
        return self

    def check(self, letter: str, *, taken_at: datetime | None = None) -> None:
        self.state, changed = step(
            self.state, RESULTS[letter], self.now, self.rules, taken_at=taken_at
        )
        self.transitions += changed
        self.tell()

    def tell(self) -> None:
        self.state, message = due_message("emq_critical", self.state, self.now, self.notify)
        if message is not None:
            self.messages.append(message)

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.transitions]

    @property
    def told(self) -> list[str]:
        return [each.kind for each in self.messages]
