"""When an alert starts, worsens and ends: one state machine for every type of alert. Pure.

    ok         nothing is wrong and nothing was
    pending    the metric is bad, but not for enough checks yet
    firing     the alert is there, with severity warning or critical
    resolved   it was there, and it is over

    ok | resolved --bad--> pending --bad for N checks--> firing --healthy for M checks--> resolved
                           pending --healthy--> back to where it came from

- One step is one check of one type of alert. Its result comes from ``thresholds.evaluate``.
- From the first step in ``firing`` to the one into ``resolved`` is an episode. It has one moment
  of birth (``fired_at``), by which everything that is said of it is known.
- Within an episode the severity moves: up to critical at once when a critical result comes, down
  to warning when M checks in a row held no critical value (a clear threshold apart, as for the
  end). Both are the same alert.
- What is healthy: the result's ``holds`` is ``ok``. A value between the clear threshold and the
  threshold raises nothing and ends nothing; it starts both counts anew.
- ``no_data`` is neither bad nor healthy: it changes no count and no phase. That data is missing is
  an alert of its own type.
- An operator can acknowledge (somebody is on it: no reminders, until it ends or worsens), silence
  until a time (no message at all; the machine goes on), and resolve (the episode ends by hand; a
  metric that is still bad begins another).

Where it can go wrong, and does not:

- Two checks at once step one after the other, under a lock. The second one's reading was taken
  before the first one's step, so it tells nothing new and adds to no count.
- A clock that jumps forward or back moves no phase: only numbers of checks do. A step dated before
  the last one is taken as it comes.
- A restart forgets nothing: the state is all there is, and it is stored.

What an alert's severity is called does not depend on its type: ``emq_critical`` with severity
``warning`` exists, because the type's name was there first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from tracking_pipeline.health.config import AlertRules
from tracking_pipeline.health.metrics import AlertType, Level, Severity, metric_of
from tracking_pipeline.health.thresholds import ThresholdResult

Phase = Literal["ok", "pending", "firing", "resolved"]
TransitionKind = Literal["started", "worsened", "eased", "ended"]


@dataclass(frozen=True, slots=True)
class AlertState:
    """All that is remembered of one type of alert between two checks.

    ``since``: the first bad check of what is going on now, or when it began where that is known.
    ``bad_checks``, ``healthy_checks`` and ``calmer_checks`` (not critical) are counted in a row.
    ``value`` and ``level`` are those of the last check that had data. ``threshold`` is the one that
    was crossed for ``severity``, also while the value is better than that; without an alert it is
    the last result's. ``told_severity`` and ``told_at``: what the alert's receivers were told last
    in this episode (``health/alerts/due.py``).
    """

    phase: Phase = "ok"
    severity: Severity | None = None
    since: datetime | None = None
    fired_at: datetime | None = None
    checked_at: datetime | None = None
    bad_checks: int = 0
    healthy_checks: int = 0
    calmer_checks: int = 0
    value: float | None = None
    level: Level | None = None
    threshold: float | None = None
    acknowledged_at: datetime | None = None
    silenced_until: datetime | None = None
    told_severity: Severity | None = None
    told_at: datetime | None = None
    told_value: float | None = None

    def is_silenced(self, now: datetime) -> bool:
        return self.silenced_until is not None and now < self.silenced_until

    def as_json(self) -> dict[str, Any]:
        """The state as JSON values, times in ISO 8601; :meth:`from_json` reads it back."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> AlertState:
        """The state that :meth:`as_json` gave. Names of another version's are passed over."""
        known: dict[str, Any] = {
            name: datetime.fromisoformat(value) if name in _TIMES and value else value
            for name, value in stored.items()
            if name in cls.__dataclass_fields__
        }
        return cls(**known)


_TIMES = frozenset(
    ("since", "fired_at", "checked_at", "acknowledged_at", "silenced_until", "told_at")
)


@dataclass(frozen=True, slots=True)
class Transition:
    """What a step changed. ``fired_at`` names the episode; ``since`` is when the trouble began."""

    kind: TransitionKind
    severity: Severity
    at: datetime
    fired_at: datetime
    since: datetime
    value: float | None
    threshold: float | None


def step(
    state: AlertState,
    result: ThresholdResult,
    now: datetime,
    rules: AlertRules,
    *,
    taken_at: datetime | None = None,
    began_at: datetime | None = None,
) -> tuple[AlertState, list[Transition]]:
    """The state after one check, and what changed: nothing, or one transition.

    ``now`` is the moment of this step, read after the lock that keeps two checks apart was taken
    (``clock_timestamp()``, not the transaction's ``now()``). ``taken_at`` is when the result's
    reading was taken; None: just now. ``began_at`` is since when a bad result is true, where that
    is known.
    """
    if _is_overtaken(state, taken_at or now, now):
        return state, []
    state = replace(state, checked_at=now)
    if result.level == "no_data":
        return state, []
    state = replace(state, value=result.value, level=result.level)
    if state.phase == "firing":
        return _step_firing(state, result, now, rules)
    state = replace(state, threshold=result.threshold)
    if result.level == "ok":
        return _back_to_rest(state), []
    return _step_bad(state, result, now, rules, began_at or now)


def rules_for(alert_type: AlertType, configured: AlertRules) -> AlertRules:
    """The rules of a type of alert: the configured ones, but for what is not measured but known.
    A destination is paused or it is not, and to count checks would only be late."""
    spec = metric_of(alert_type)
    known = spec is not None and spec.alert is not None and spec.alert.known_at_once
    return AlertRules(1, 1) if known else configured


def adopt(severity: Severity, created_at: datetime) -> AlertState:
    """The state of an alert that is there already and that no step has made: one of an existing
    installation, or one that delivery raised. The next steps carry it on."""
    return AlertState(phase="firing", severity=severity, since=created_at, fired_at=created_at)


def acknowledged(state: AlertState, now: datetime) -> AlertState:
    """Somebody is on it. Nothing to acknowledge: unchanged."""
    return replace(state, acknowledged_at=now) if state.phase == "firing" else state


def silenced(state: AlertState, until: datetime | None) -> AlertState:
    """No messages of this type of alert until then, also of episodes to come; None: end the
    silence."""
    return replace(state, silenced_until=until)


def closed(state: AlertState, now: datetime) -> tuple[AlertState, list[Transition]]:
    """Ends the episode by hand, and what is pending with it."""
    if state.phase != "firing":
        return _back_to_rest(state), []
    return _ended(state, now)


def _is_overtaken(state: AlertState, taken_at: datetime, now: datetime) -> bool:
    """Whether another check stepped after this one's reading was taken. A last step that is later
    than this one's own moment says that the clock went back, and nothing else."""
    return state.checked_at is not None and taken_at <= state.checked_at <= now


def _step_firing(
    state: AlertState, result: ThresholdResult, now: datetime, rules: AlertRules
) -> tuple[AlertState, list[Transition]]:
    state = replace(
        state,
        healthy_checks=state.healthy_checks + 1 if result.holds == "ok" else 0,
        calmer_checks=state.calmer_checks + 1 if result.holds != "critical" else 0,
        # The result of a better level names a threshold that this alert is not about.
        threshold=result.threshold if result.level == state.severity else state.threshold,
    )
    if state.healthy_checks >= rules.clear_after_checks:
        return _ended(state, now)
    if state.severity == "warning" and result.level == "critical":
        # Whoever acknowledged the warning did not acknowledge this.
        state = replace(
            state, severity="critical", threshold=result.threshold, acknowledged_at=None
        )
        return state, [_transition("worsened", state, now)]
    calmer = state.calmer_checks >= rules.clear_after_checks and result.holds == "warning"
    if state.severity == "critical" and calmer:
        state = replace(state, severity="warning", threshold=result.threshold)
        return state, [_transition("eased", state, now)]
    return state, []


def _step_bad(
    state: AlertState, result: ThresholdResult, now: datetime, rules: AlertRules, began_at: datetime
) -> tuple[AlertState, list[Transition]]:
    begins = state.phase != "pending"
    severity: Severity = "critical" if result.level == "critical" else "warning"
    state = replace(
        state,
        phase="pending",
        severity=severity,
        since=began_at if begins else state.since,
        bad_checks=1 if begins else state.bad_checks + 1,
    )
    if state.bad_checks < rules.after_checks:
        return state, []
    state = replace(
        state,
        phase="firing",
        fired_at=now,
        healthy_checks=0,
        calmer_checks=0,
        acknowledged_at=None,
        told_severity=None,
        told_at=None,
        told_value=None,
    )
    return state, [_transition("started", state, now)]


def _back_to_rest(state: AlertState) -> AlertState:
    if state.phase != "pending":
        return state
    rest: Phase = "ok" if state.fired_at is None else "resolved"
    return replace(state, phase=rest, severity=None, since=None, bad_checks=0)


def _ended(state: AlertState, now: datetime) -> tuple[AlertState, list[Transition]]:
    transition = _transition("ended", state, now)
    rested = replace(state, phase="resolved", bad_checks=0, acknowledged_at=None)
    return rested, [transition]


def _transition(kind: TransitionKind, state: AlertState, now: datetime) -> Transition:
    if state.severity is None or state.fired_at is None:
        raise ValueError("only an alert that has fired changes")
    return Transition(
        kind=kind,
        severity=state.severity,
        at=now,
        fired_at=state.fired_at,
        since=state.since or state.fired_at,
        value=state.value,
        threshold=state.threshold,
    )


@dataclass(frozen=True, slots=True)
class Recovery:
    """How far an alert is from easing or ending while its value is better than its severity.

    ``level``: what the last value would raise now, ``ok`` or, of a critical alert, ``warning``.
    ``checks_left``: so many more checks in a row must find it so, a clear threshold apart, until
    the alert ends or becomes a warning."""

    level: Literal["ok", "warning"]
    checks_left: int


def recovery_of(state: AlertState, rules: AlertRules) -> Recovery | None:
    """The recovery of an alert; None while its value is as bad as its severity says, and where no
    check has looked yet."""
    if state.severity is None or state.level == state.severity:
        return None
    if state.level == "ok":
        return Recovery("ok", max(rules.clear_after_checks - state.healthy_checks, 1))
    if state.level == "warning":
        return Recovery("warning", max(rules.clear_after_checks - state.calmer_checks, 1))
    return None
