"""Whether an event may and can go out at all: one decision for all destinations.

In this order: there is one event in the row; nobody refused what the destination needs; what it is
known by can be read; its time has come and is not past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.delivery.engine.outcomes import (
    Fault,
    NotSent,
    Postponed,
    Rejected,
    Withheld,
    reject,
    withhold,
)
from tracking_pipeline.delivery.failures import Failure
from tracking_pipeline.events.consent import Purpose, Said
from tracking_pipeline.events.conversion import Conversion, Unusable, read_conversion
from tracking_pipeline.events.policy import DEFAULT_POLICY, ReadingPolicy
from tracking_pipeline.events.privacy import UnreadableOptionError, read_privacy_options
from tracking_pipeline.events.reading import Reading, Statement, said_by

# A clock that is this fast costs nobody a wait.
FUTURE_TOLERANCE = timedelta(minutes=1)
# An event that would cross an age limit on its way is not worth a batch's rejection.
AGE_MARGIN = timedelta(minutes=1)

# A replay waits where nobody can know whether the person has thought better of it.
ASK_AGAIN_AFTER = timedelta(minutes=10)
STATEMENTS_UNREADABLE = Fault(
    "wm_event_log cannot be read: what the lead says of consent by now is not known",
    Failure.CONSENT_UNKNOWN,
    "consent_unknown",
)

CONSENT_DENIED = "consent denied"
NO_CONSENT = "no consent stated"
EXPIRED = "expired"
EXPIRED_AT_ARRIVAL = "expired at arrival"

# What an event is known and counted by: a destination must not get a guess of it.
OF_A_CONVERSION = ("event_time", "event_id", "value", "currency", "order_id")
OF_A_RECORD = ("event_time", "event_id")


def ready_conversion(
    event: FailedEvent,
    needs: Sequence[Purpose],
    *,
    site_url: str | None = None,
    policy: ReadingPolicy = DEFAULT_POLICY,
    needed: Sequence[str] = OF_A_CONVERSION,
) -> Conversion | NotSent:
    """The conversion in an event, or why it does not go out now.

    ``needs`` are the purposes that must not have been refused; none for the site's own ledger,
    which needs no consent. ``needed`` names the fields that must not be unreadable.
    """
    conversion = read_conversion(event, site_url, policy)
    if isinstance(conversion, Unusable):
        is_missing = conversion.reason.startswith("missing ")
        return reject(
            conversion.reason,
            Failure.EVENT_FIELD_MISSING if is_missing else Failure.EVENT_UNREADABLE,
        )
    if needs:
        refused = without_consent(conversion, needs, policy)
        if refused is not None:
            return refused
    unreadable = conversion.first_unreadable(*needed) if conversion.unreadable else None
    if unreadable is not None:
        return reject(unreadable, Failure.EVENT_FIELD_UNREADABLE)
    ahead = conversion.event_time - event.now
    if ahead > FUTURE_TOLERANCE:
        if ahead > policy.longest_wait:
            return reject("event_time lies in the future", Failure.EVENT_IN_FUTURE)
        return Postponed(conversion.event_time)
    return conversion


def past_age_limit(
    conversion: Conversion, now: datetime, limit: timedelta, words: str
) -> Rejected | Withheld | None:
    """Why an event older than ``limit`` is not sent; None for a younger one. One that was too old
    when it came is nobody's failure. ``words`` say the limit to people."""
    if now - conversion.event_time <= limit - AGE_MARGIN:
        return None
    arrived = conversion.reading.row.created_at
    if conversion.has_own_time and arrived - conversion.event_time > limit - AGE_MARGIN:
        fault = Fault(f"the event came older than {words}", Failure.EVENT_EXPIRED_AT_ARRIVAL)
        return Withheld(EXPIRED_AT_ARRIVAL, fault)
    return Rejected(EXPIRED, Fault(f"the event is older than {words}", Failure.EVENT_EXPIRED))


def is_limited(reading: Reading, policy: ReadingPolicy) -> bool:
    """Whether the person's data may serve to count a conversion, and not to choose whom an ad is
    shown: so says Meta's ``opt_out`` or Limited Data Use, or the browser's Global Privacy Control.

    Fails closed: an option that cannot be read limits."""
    if not reading.privacy and not reading.consents:
        return False
    try:
        options = read_privacy_options(reading)
    except UnreadableOptionError:
        return True
    if options.get("opt_out") or options.get("data_processing_options"):
        return True
    return policy.privacy_control == "limited" and reading.has_privacy_control()


def without_consent(
    conversion: Conversion, needs: Sequence[Purpose], policy: ReadingPolicy
) -> NotSent | None:
    """Why an event may not be sent where these purposes are needed: they were refused, or what was
    said of them cannot be understood; None where it may."""
    said = conversion.consent
    latest = latest_of_lead(conversion.reading.row.statements, policy)
    for statements in (said, latest) if said or latest else ():
        for purpose in needs:
            if purpose in statements and statements[purpose].said is Said.DENIED:
                return _denied(statements[purpose].path)
    if policy.privacy_control == "denied" and conversion.reading.has_privacy_control():
        return _denied("Global Privacy Control")
    for purpose in needs if said else ():
        if purpose in said and said[purpose].said is Said.UNCLEAR:
            return reject(f"unreadable consent: {said[purpose].path}", Failure.CONSENT_UNREADABLE)
    if conversion.reading.row.statements is None:
        return Postponed(conversion.reading.row.now + ASK_AGAIN_AFTER, STATEMENTS_UNREADABLE)
    if policy.consent_default == "denied" and not all(
        purpose in said or purpose in latest for purpose in needs
    ):
        return withhold(NO_CONSENT, Failure.CONSENT_NOT_STATED)
    return None


def _denied(where: str) -> Withheld:
    return Withheld(CONSENT_DENIED, Fault(f"{CONSENT_DENIED} ({where})", Failure.CONSENT_DENIED))


def latest_of_lead(
    statements: Sequence[object] | None, policy: ReadingPolicy
) -> Mapping[Purpose, Statement]:
    """The newest statement that the site keeps of the lead, where there is one."""
    for each in statements or ():
        said = said_by(each, policy.denied_consent_ids)
        if said:
            return said
    return {}
