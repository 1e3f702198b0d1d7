"""What an alert says: its value, the threshold, since when, the likely cause, the next step. Pure.

No personal data: numbers, names of destinations and match keys, and reasons that
``identity.plain_reason`` has been through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tracking_pipeline.delivery.engine.breaker import UNSPENT
from tracking_pipeline.delivery.failures import Failure, remedy_of
from tracking_pipeline.health.alerts.due import DueMessage
from tracking_pipeline.health.alerts.rules import Recovery
from tracking_pipeline.health.formatting import capital, count_of, duration, moment
from tracking_pipeline.health.metrics import (
    AlertSpec,
    AlertType,
    MetricSpec,
    Severity,
    metric_of,
)
from tracking_pipeline.health.readings.causes import (
    DeadLetterBatch,
    dead_letter_causes,
    pausing_failures,
)
from tracking_pipeline.store.alert_notifications import Notification


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What there is to say of one alert. ``causes`` are sentences without a full stop
    (``health/readings/causes.py``); ``recovery``: the value is better than the severity;
    ``ended_by_hand``: an operator resolved it."""

    alert_type: AlertType
    severity: Severity
    value: float | None
    threshold: float | None
    since: datetime
    causes: Sequence[str] = ()
    recovery: Recovery | None = None
    ended_by_hand: bool = False


_SEVERAL_PAUSES = (
    "Each reason has its own remedy: fix a token, a permission or an account that it names; wait "
    f"for a server that fails; check URL and version if every event is refused. {UNSPENT}"
)


def alert_message(facts: AlertFacts) -> str:
    """The alert in one line, for its row in ``tracking_health_alerts`` and for a started message:
    what, since when, the likely cause, the next step."""
    headline = f"{_headline(facts)} ({facts.severity})"
    if facts.recovery is None:
        return _in_sentences(f"{headline}, since {moment(facts.since)}", facts)
    outlook = _outlook(facts.recovery)
    return _in_sentences(f"{headline}, alert since {moment(facts.since)}; {outlook}", facts)


def ended_message(facts: AlertFacts, now: datetime) -> str:
    """The last words of an alert, for its row: what it was about, and how long it lasted."""
    return f"{capital(_headline(facts))} ({facts.severity}). {_lasted(facts, now)}"


def reading_message(facts: AlertFacts) -> str:
    """The same of one reading, of which nobody knows since when it is so."""
    return _in_sentences(_headline(facts), facts)


_LIKELY_CAUSE = "Likely cause: "


def _in_sentences(headline: str, facts: AlertFacts) -> str:
    sentences = [headline]
    if facts.causes:
        sentences.append(f"{_LIKELY_CAUSE}{'; '.join(facts.causes)}")
    sentences.append(_next_step(facts.alert_type, facts.causes))
    return ". ".join(capital(sentence) for sentence in sentences) + "."


def likely_cause(what: str) -> str:
    """The cause that a message names; empty where it names none."""
    return what.partition(_LIKELY_CAUSE)[2]


def what_and_next_step(alert_type: str, message: str) -> tuple[str, str]:
    """An alert's message in two: what is wrong, and what to do. The second is empty for a type that
    is not ours."""
    if metric_of(alert_type) is None:
        return message, ""
    known_steps = [_of(alert_type)[1].next_step]
    if alert_type == "destination_paused":
        known_steps += [_SEVERAL_PAUSES, *map(_step_of_pause, Failure)]
    for step in (f"{capital(each)}." for each in known_steps):
        if message.endswith(step):
            return message.removesuffix(step).rstrip(), step
    # Delivery of an earlier version raised this alert without a next step, and gave the reason.
    return message, f"{capital(_next_step(alert_type, (message,)))}."


def _next_step(alert_type: str, causes: Sequence[str]) -> str:
    if alert_type == "destination_paused":
        failures = pausing_failures(causes)
        if len(failures) > 1:
            return _SEVERAL_PAUSES
        if failures and (failure := failures.pop()) is not None:
            return _step_of_pause(failure)
    return _of(alert_type)[1].next_step


def _step_of_pause(failure: Failure) -> str:
    return f"{failure.remedy} {UNSPENT}"


def notification(
    message: DueMessage, facts: AlertFacts, *, now: datetime, alert_id: UUID | None
) -> Notification:
    """The message that an alert owes, with its words."""
    headline = _headline(facts)
    if message.kind == "ended":
        title = f"Resolved: {_of(facts.alert_type)[1].over.format(value=_number(facts))}"
        body = _lasted(facts, now)
        if facts.ended_by_hand:
            title = f"Resolved by hand: {headline}"
    else:
        titles = _TITLES if facts.recovery is None else _TITLES_WHILE_BETTER
        title = f"{titles[message.kind].format(severity=message.severity)}: {headline}"
        body = alert_message(facts)
    return Notification(
        alert_id=alert_id,
        alert_type=facts.alert_type,
        kind=message.kind,
        severity=message.severity,
        title=capital(title),
        body=body,
        dedupe_key=message.dedupe_key,
    )


def digest(message: DueMessage, batches: Sequence[DeadLetterBatch]) -> Notification:
    """The message about new dead letters, by destination and reason, with what to do about each
    kind of failure."""
    causes = dead_letter_causes(batches)
    events = count_of(sum(batch.events for batch in batches), "event")
    step = _of("dead_letters")[1].next_step
    codes = dict.fromkeys(batch.failure for batch in batches if batch.failure)
    remedies = [f"{code}: {remedy}" for code in codes if (remedy := remedy_of(code))]
    return Notification(
        alert_id=None,
        alert_type="dead_letters",
        kind=message.kind,
        severity=message.severity,
        title=causes[0] if len(causes) == 1 else f"New dead letters: {events}",
        body="\n".join(
            (f"{events} will not be tried again by themselves.", *causes, *remedies, f"{step}.")
        ),
        dedupe_key=message.dedupe_key,
    )


_TITLES = {
    "started": "{severity}",
    "worsened": "worse, now {severity}",
    "reminder": "still {severity}",
}
_TITLES_WHILE_BETTER = dict.fromkeys(_TITLES, "{severity} alert, now better")


def _lasted(facts: AlertFacts, now: datetime) -> str:
    how = "Resolved by hand" if facts.ended_by_hand else "Resolved"
    span = duration(now - facts.since)
    return f"{how} after {span}, from {moment(facts.since)} to {moment(now)}."


def _headline(facts: AlertFacts) -> str:
    spec, words = _of(facts.alert_type)
    text = words.bad if facts.threshold else words.at_zero or words.bad
    beyond = words.beyond if facts.threshold else ""
    if facts.recovery is not None:
        text = f"{words.over if facts.recovery.level == 'ok' else text} now"
        beyond = beyond and f"was {beyond}"
    sentence = ", ".join(filter(None, (text, beyond)))
    threshold = facts.threshold or 0.0
    return sentence.format(value=_number(facts), threshold=f"{threshold:,.{spec.decimals}f}")


def _outlook(recovery: Recovery) -> str:
    left = recovery.checks_left
    if recovery.level == "ok":
        return f"ends after {count_of(left, 'more healthy check')}"
    return f"becomes a warning after {count_of(left, 'more check')} without a critical value"


def _number(facts: AlertFacts) -> str:
    decimals = _of(facts.alert_type)[0].decimals
    return "unknown" if facts.value is None else f"{facts.value:,.{decimals}f}"


def _of(alert_type: AlertType) -> tuple[MetricSpec, AlertSpec]:
    """A type of alert of ours, with its metric."""
    spec = metric_of(alert_type)
    if spec is None or spec.alert is None:
        raise ValueError(f"there is no metric with the alert {alert_type}")
    return spec, spec.alert
