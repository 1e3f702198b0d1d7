"""Whether our own schedules and sensors do their work: who watches the watcher. Pure.

What Dagster remembers of them is read in ``defs/instance/automation.py``. One that an operator
turned off is not looked at, and neither is one that has never ticked: no daemon has run yet.

    failing    its last ticks failed: three in a row, or one where it ticks less than once an hour
    late       it should have ticked, and others have ticked since

The second half of *late* is what tells a sensor that hangs from a daemon that was just started:
after an outage every sensor is overdue, and the check that the daemon makes first would say so of
all of them. Where nothing ticks at all, the daemon's own heartbeat says so, once and not by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tracking_pipeline.health.formatting import count_of, duration
from tracking_pipeline.health.metrics import Measured

FAILED_TICKS = 3
RARE = timedelta(hours=1)
# A tick begins when a thread is free for it, and lasts as long as its own database takes.
LATE_AFTER = timedelta(minutes=5)
# Others have ticked before this: they did not only just begin again.
_JUST_NOW = timedelta(minutes=2)
# Daemons beat every 30 seconds, and a slow reload of the code location holds a beat up.
DAEMON_SILENT_AFTER = timedelta(minutes=5)
# Who tried a daemon once and now checks from cron has none that could be missed.
DAEMON_FORGOTTEN_AFTER = timedelta(days=7)
_MOST_TOLD = 3


@dataclass(frozen=True, slots=True)
class Automation:
    """One schedule or sensor that is on. ``ticks`` are the moments of its last ones, the newest
    first, at least one; ``due_at`` is when the next should come. ``failed_in_a_row``: so many of
    the newest ``ticks`` failed; ``error`` is the kind of the last failure, no message."""

    name: str
    ticks: Sequence[datetime]
    due_at: datetime
    failed_in_a_row: int = 0
    error: str = ""

    @property
    def is_failing(self) -> bool:
        rare = self.due_at - self.ticks[0] >= RARE
        return self.failed_in_a_row >= (1 if rare else FAILED_TICKS)


@dataclass(frozen=True, slots=True)
class AutomationReading:
    """What Dagster knew at ``at``. ``daemons``: when each kind of daemon last showed that it lives;
    none where there has never been one."""

    at: datetime
    automations: Sequence[Automation] = ()
    daemons: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def measured(self) -> Measured:
        """How many fail or are late, None where none has ever ticked and no daemon has run."""
        silent = self._silent_daemons
        if silent:
            oldest = duration(self.at - min(self.daemons[name] for name in silent))
            words = f"no sign of life of the Dagster daemon ({', '.join(silent)}) for {oldest}"
            return Measured(max(len(self.automations), 1), causes=(words,))
        if not self.automations:
            return Measured(None, note="no schedule and no sensor has ticked yet")
        found = [words for each in self.automations if (words := self._trouble(each))]
        rest = len(found) - _MOST_TOLD
        return Measured(
            len(found),
            causes=(*found[:_MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])),
            detail={"automations": len(self.automations), "troubles": found},
        )

    @property
    def tick_ages(self) -> Measured:
        """Seconds since the last tick, by name."""
        return Measured(
            None,
            parts={
                each.name: max((self.at - each.ticks[0]).total_seconds(), 0.0)
                for each in self.automations
            },
        )

    @property
    def daemon_age(self) -> Measured:
        """Seconds since the daemon that has been silent the longest showed that it lives."""
        ages = [(self.at - beat).total_seconds() for beat in self.daemons.values()]
        return Measured(max(0.0, *ages) if ages else None)

    @property
    def _silent_daemons(self) -> list[str]:
        ages = {name: self.at - beat for name, beat in self.daemons.items()}
        if not ages or min(ages.values()) > DAEMON_FORGOTTEN_AFTER:
            return []
        return sorted(name for name, age in ages.items() if age > DAEMON_SILENT_AFTER)

    def _trouble(self, one: Automation) -> str:
        if one.is_failing:
            ticks = count_of(one.failed_in_a_row, "tick")
            return f"{one.name}: the last {ticks} failed ({one.error or 'no error named'})"
        late = self.at - one.due_at > LATE_AFTER and any(
            one.due_at < tick < self.at - _JUST_NOW
            for other in self.automations
            if other is not one
            for tick in other.ticks
        )
        return f"{one.name}: no tick for {duration(self.at - one.ticks[0])}" if late else ""
