"""How far an alert is from easing or ending while its value is better than its severity. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tracking_pipeline.health.alerts.rules import AlertRules, AlertState


@dataclass(frozen=True, slots=True)
class Recovery:
    """``level``: what the last value would raise now, ``ok`` or, of a critical alert, ``warning``.
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
