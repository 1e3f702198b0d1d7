"""What an alert says: its value, the threshold, since when, the likely cause, the next step. Pure.

No personal data: numbers, names of destinations and match keys, and reasons that
``identity.plain_reason`` has been through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tracking_pipeline.health.alerts.causes import (
    PauseKind,
    count_of,
    dead_letter_causes,
    pause_kind,
)
from tracking_pipeline.health.alerts.recovery import Recovery
from tracking_pipeline.health.alerts.rules import AlertType, Severity
from tracking_pipeline.health.notifications.rules import DeadLetterBatch, OwedMessage
from tracking_pipeline.health.words import duration, moment
from tracking_pipeline.store.alert_notifications import Notification


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """What there is to say of one alert. ``causes`` are sentences without a full stop
    (``health/alerts/causes.py``); ``recovery``: the value is better than the severity;
    ``ended_by_hand``: an operator resolved it."""

    alert_type: AlertType
    severity: Severity
    value: float | None
    threshold: float | None
    since: datetime
    causes: Sequence[str] = ()
    recovery: Recovery | None = None
    ended_by_hand: bool = False


@dataclass(frozen=True, slots=True)
class _Words:
    """How one type of alert is told. ``{value}`` and ``{threshold}`` stand for the numbers, written
    with ``decimals`` places; ``beyond`` follows ``bad`` where there is a threshold other than 0,
    ``at_zero`` stands for ``bad`` where there is none, and ``over`` is how things stand at the
    end."""

    bad: str
    over: str
    next_step: str
    beyond: str = ""
    decimals: int = 0
    at_zero: str = ""


_UNSPENT = "The events wait unspent, and go on by themselves when a probe gets through"
# What to do about a pause whose reason names nothing that could be mended in an account.
_NEXT_STEP_OF_PAUSE: dict[PauseKind, str] = {
    "failing": "The other side fails or cannot be reached, which mostly passes. If it stays so, "
    f"check its status page, its address and the network. {_UNSPENT}",
    "refusing": "Check its address, the version of its API and what stands in between: the events "
    f"are hardly to blame when none is taken. {_UNSPENT}",
    "mixed": "Each reason asks for its own: mend a token, a permission or an account that it "
    "names; wait for a server that fails; check address and version where every event is refused. "
    f"{_UNSPENT}",
}
_STATUS = "Run `tracking-pipeline status`: it shows the last error of each destination"
_WORDS: dict[AlertType, _Words] = {
    "emq_critical": _Words(
        bad="the estimated EMQ score is {value} of 10",
        beyond="below {threshold}",
        over="the estimated EMQ score is {value} of 10",
        next_step="Open the asset emq_score: it shows how many events carry each match key. "
        "Mend the form or the server that no longer sends the key named here",
        decimals=1,
    ),
    "failed_events_critical": _Words(
        bad="failed events waiting to be sent again: {value}",
        beyond="more than {threshold}",
        over="failed events waiting to be sent again: {value}",
        next_step=_STATUS,
    ),
    "error_rate_critical": _Words(
        bad="the error rate is {value} %",
        beyond="above {threshold} %",
        over="the error rate is {value} %",
        next_step=_STATUS,
        decimals=1,
    ),
    "dead_letters": _Words(
        bad="events that became dead letters: {value}",
        beyond="more than {threshold}",
        at_zero="events that became dead letters and are not tried again by themselves: {value}",
        over="events that became dead letters lately: {value}",
        next_step="Mend the cause, then look with `tracking-pipeline replay --dry-run` at what "
        "can be sent again",
    ),
    "destination_paused": _Words(
        bad="destinations that are paused: {value}",
        over="no destination is paused",
        next_step="Mend the token, the permission or the account that the reason names. "
        f"{_UNSPENT}",
    ),
    "geo_provider_down": _Words(
        bad="sources of places that do not answer: {value}",
        over="all sources of places answer",
        next_step="Nothing is lost: the next source is asked, or this one later. Check its "
        "address, its key and its quota if it stays so",
    ),
    "no_data": _Words(
        bad="no conversion has reached the ledger lately, though there were some before",
        over="conversions reach the ledger again",
        next_step="Check that the site still writes wm_event_log, and CONVERSION_EVENT_NAMES",
    ),
    "pipeline_stalled": _Words(
        bad="health checks that did not come, one after another: {value}",
        over="health checks come again",
        next_step="Check that the Dagster daemon runs and that check_tracking_health_schedule is "
        "on (Deployment, Daemons; Automation)",
    ),
}


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
    return f"{_capital(_headline(facts))} ({facts.severity}). {_lasted(facts, now)}"


def reading_message(facts: AlertFacts) -> str:
    """The same of one reading, of which nobody knows since when it is so."""
    return _in_sentences(_headline(facts), facts)


def _in_sentences(headline: str, facts: AlertFacts) -> str:
    sentences = [headline]
    if facts.causes:
        sentences.append(f"Likely cause: {'; '.join(facts.causes)}")
    sentences.append(_next_step(facts.alert_type, facts.causes))
    return ". ".join(_capital(sentence) for sentence in sentences) + "."


def what_and_next_step(alert_type: str, message: str) -> tuple[str, str]:
    """An alert's message in two: what is wrong, and what to do. The second is empty for a type that
    is not ours."""
    words = next((words for known, words in _WORDS.items() if known == alert_type), None)
    if words is None:
        return message, ""
    known_steps = [words.next_step]
    if alert_type == "destination_paused":
        known_steps += _NEXT_STEP_OF_PAUSE.values()
    for step in (f"{_capital(each)}." for each in known_steps):
        if message.endswith(step):
            return message.removesuffix(step).rstrip(), step
    # Delivery raises this alert itself, without a next step, and gives the reason.
    return message, f"{_capital(_next_step(alert_type, (message,)))}."


def _next_step(alert_type: str, causes: Sequence[str]) -> str:
    kind = pause_kind(causes) if alert_type == "destination_paused" else None
    if kind is not None and kind in _NEXT_STEP_OF_PAUSE:
        return _NEXT_STEP_OF_PAUSE[kind]
    return next(words.next_step for known, words in _WORDS.items() if known == alert_type)


def notification(
    message: OwedMessage, facts: AlertFacts, *, now: datetime, alert_id: UUID | None
) -> Notification:
    """The message that an alert owes, with its words."""
    headline = _headline(facts)
    if message.kind == "ended":
        title = f"Over: {_WORDS[facts.alert_type].over.format(value=_number(facts))}"
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
        title=_capital(title),
        body=body,
        dedupe_key=message.dedupe_key,
    )


def digest(message: OwedMessage, batches: Sequence[DeadLetterBatch]) -> Notification:
    """The message about new dead letters, by destination and reason."""
    causes = dead_letter_causes(batches)
    events = count_of(sum(batch.events for batch in batches), "event")
    step = _WORDS["dead_letters"].next_step
    return Notification(
        alert_id=None,
        alert_type="dead_letters",
        kind=message.kind,
        severity=message.severity,
        title=causes[0] if len(causes) == 1 else f"New dead letters: {events}",
        body="\n".join((f"{events} will not be tried again by themselves.", *causes, f"{step}.")),
        dedupe_key=message.dedupe_key,
    )


_TITLES = {
    "started": "{severity}",
    "worsened": "worse, now {severity}",
    "reminder": "still {severity}",
}
_TITLES_WHILE_BETTER = dict.fromkeys(_TITLES, "{severity} alert, now better")


def _lasted(facts: AlertFacts, now: datetime) -> str:
    how = "Resolved by hand" if facts.ended_by_hand else "Over"
    span = duration(now - facts.since)
    return f"{how} after {span}, from {moment(facts.since)} to {moment(now)}."


def _headline(facts: AlertFacts) -> str:
    words = _WORDS[facts.alert_type]
    text = words.bad if facts.threshold else words.at_zero or words.bad
    beyond = words.beyond if facts.threshold else ""
    if facts.recovery is not None:
        text = f"{words.over if facts.recovery.level == 'ok' else text} now"
        beyond = beyond and f"was {beyond}"
    sentence = ", ".join(filter(None, (text, beyond)))
    threshold = facts.threshold or 0.0
    return sentence.format(value=_number(facts), threshold=f"{threshold:,.{words.decimals}f}")


def _outlook(recovery: Recovery) -> str:
    left = recovery.checks_left
    if recovery.level == "ok":
        return f"ends after {count_of(left, 'more healthy check')}"
    return f"becomes a warning after {count_of(left, 'more check')} without a critical value"


def _number(facts: AlertFacts) -> str:
    decimals = _WORDS[facts.alert_type].decimals
    return "unknown" if facts.value is None else f"{facts.value:,.{decimals}f}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
