"""What the platforms have in common that take a JSON list of events in one POST: how an event is
made ready, how a request goes out, and what an answer in a platform's own words comes to.

A platform adds the form of an event, its table of codes, and how its answers are read into
:class:`Told`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import orjson
from pydantic import SecretStr

from tracking_pipeline.delivery.destinations.codes import IN_DOUBT, Codes
from tracking_pipeline.delivery.destinations.http_answers import (
    DEFAULT_THROTTLE_SECONDS,
    bounded_throttle,
    classify_status,
    is_passing,
    unreadable,
    without_answer,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName, spec_of
from tracking_pipeline.delivery.engine.destination import Limits, Reply
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Fault,
    NotSent,
    Paused,
    PerEvent,
    Refused,
    Rejected,
    Retry,
    Throttled,
    Uniform,
    Verdict,
    reject,
    unknown_end,
)
from tracking_pipeline.delivery.engine.readiness import (
    is_limited,
    past_age_limit,
    ready_conversion,
)
from tracking_pipeline.delivery.engine.redaction import kept_fields, kept_trace_id, redact
from tracking_pipeline.delivery.failures import Failure, FailureOutcome
from tracking_pipeline.events.cart import read_cart
from tracking_pipeline.events.consent import Purpose
from tracking_pipeline.events.conversion import Conversion
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.events.person import person_keys
from tracking_pipeline.events.standard_events import EventNames
from tracking_pipeline.events.texts import impersonal_text
from tracking_pipeline.http_client import Answer, DeliveryClient, post, retry_after_seconds
from tracking_pipeline.identity.platforms import SUFFICIENT

# Of a gateway that waited in vain for what it had passed on; the second is Cloudflare's.
_GATEWAY_TIMEOUTS = (504, 524)

FEWER_RECEIVED = "fewer_received"
"""The kind of warning that an acceptance draws which counts fewer events than were sent."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says of a failure, in the platform's own words.

    ``names``: what the platform's table may know it by, the most exact first; the HTTP status comes
    after them by itself. ``members``: what is said of single events, by position.
    """

    names: tuple[str, ...] = ()
    message: str = ""
    trace_id: object = None
    fields: Sequence[object] = ()
    members: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the answers of one platform. ``title`` is what a dead letter's reason calls it;
    ``secrets`` never come out."""

    title: str
    codes: Codes
    secrets: tuple[str, ...] = ()

    def verdict(self, answer: Answer, told: Told | None, now: datetime) -> Verdict:
        """What an answer comes to that is no acceptance. Without the platform's own words (``told``
        is None) only the HTTP status counts.

        A rate limit goes first, then what the table says, then the status; a code that nobody here
        knows, with a status of success, is taken for the call's, and no event is refused with a
        status that says that it may go later. ``now`` is used only for a ``Retry-After`` date in an
        answer without a ``Date``.
        """
        if answer.fault or answer.status is None:
            return Uniform(without_answer(answer))
        asked = retry_after_seconds(answer.headers, now)
        throttle_seconds = bounded_throttle(asked or DEFAULT_THROTTLE_SECONDS)
        fault_as = partial(unreadable, answer)
        outcome: FailureOutcome | None = None
        is_known = False
        if told is not None:
            fault_as = partial(self.fault, answer, told)
            names = (*told.names, str(answer.status))
            outcome = next((found for each in names if (found := self.codes.outcome(each))), None)
            is_known = outcome is not None
            if outcome is None and answer.status < 300:
                outcome = "paused"
            if outcome == "rejected" and is_passing(answer.status):
                outcome = "retry"
        meant: Throttled | Retry | Paused | None = None
        if outcome == "throttled" or answer.status == 429:
            meant = Throttled(fault_as("throttled"), throttle_seconds)
        elif outcome == "retry":
            meant = Retry(fault_as("retry"), asked)
        elif outcome == "paused":
            meant = Paused(fault_as("paused"), certain=is_known)
        if meant is not None:
            return Uniform(meant)
        if told is not None and outcome == "rejected":
            members = {position: self.refused(answer, told, position) for position in told.members}
            return Refused(self.refused(answer, told), members)
        return classify_status(
            answer,
            fault_as,
            refusal=lambda fault: f"refused by {self.title}: HTTP {answer.status}",
            retry_after_seconds=asked,
            throttle_seconds=throttle_seconds,
        )

    def refused(self, answer: Answer, told: Told, position: int | None = None) -> Rejected:
        """The rejection of a request, or of the event at one position of it."""
        fault = self.fault(answer, told, "rejected", position=position)
        return Rejected(f"refused by {self.title}: {fault.code}", fault)

    def fault(
        self, answer: Answer, told: Told, outcome: FailureOutcome, *, position: int | None = None
    ) -> Fault:
        """The fault, in words that hold no secret and no personal data."""
        names = (*told.names, str(answer.status))
        message = told.message if position is None else told.members[position]
        known = next((each for each in names if each in self.codes.table), names[0])
        code = redact(known, *self.secrets)
        return Fault(
            redact(message or f"error {code}", *self.secrets),
            self.codes.failure(outcome, *names),
            code,
            answer.status,
            trace_id=kept_trace_id(told.trace_id),
            fields=kept_fields(told.fields),
        )


def accepted(status: int, events: int, received: int | None = None) -> Uniform:
    """All of so many ``events`` delivered; ``received`` is the number that the platform counts,
    where it tells one. All or nothing is what it documents, so a smaller one is a warning."""
    fewer = received is not None and received < events
    return Uniform(Delivered(status, warnings=(FEWER_RECEIVED,) if fewer else ()))


def in_order(
    outcomes: Mapping[int, Delivered | Rejected | Retry], status: int, events: int
) -> Verdict:
    """The verdict of an answer that took a request and says more of the events at some positions:
    all others are delivered."""
    if not outcomes:
        return accepted(status, events)
    return PerEvent([outcomes.get(position, Delivered(status)) for position in range(events)])


@dataclass(frozen=True)
class BatchRequest:
    """Where the events of a platform go and by what right: ``head`` and ``tail`` are the body
    around the list's elements."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    head: bytes = b'{"data":['
    tail: bytes = field(default=b"]}", repr=False)

    def body(self, events: Iterable[bytes]) -> bytes:
        """The body with these events."""
        return self.head + b",".join(events) + self.tail


def may_be_taken(answer: Answer) -> bool:
    """Whether the request left and what came back says neither yes nor no: no answer, one that
    broke off, a success in words of somebody else, a gateway that waited in vain."""
    if answer.status is None or answer.fault:
        return answer.sent
    return answer.status < 300 or answer.status in _GATEWAY_TIMEOUTS


def token_of(setting: SecretStr | None) -> str:
    """The text of a token without which a destination is not set up, and so is never made."""
    assert setting is not None  # noqa: S101
    return setting.get_secret_value()


def bearer_headers(token: str) -> dict[str, str]:
    """The headers of a JSON request with a token (RFC 6750 2.1)."""
    return {"content-type": "application/json", "authorization": f"Bearer {token}"}


def custom_data(
    conversion: Conversion, amount: Callable[[float], object] = float
) -> dict[str, Any]:
    """What was bought or looked for, in Meta's words, which others have taken over. ``amount`` is
    how amounts are written."""
    custom: dict[str, Any] = {}
    if conversion.value is not None and conversion.currency is not None:
        custom |= {"value": amount(conversion.value), "currency": conversion.currency}
    if conversion.order_id:
        custom["order_id"] = conversion.order_id
    for name in ("search_string", "content_name", "content_category"):
        found = conversion.reading.customs.get(name)
        if found is not None and (said := impersonal_text(found.value)):
            custom[name] = said
    items = read_cart(conversion.reading, conversion.currency).items
    if items:
        custom["content_ids"] = [item.id for item in items]
        custom["num_items"] = sum(item.quantity or 1 for item in items)
        custom["contents"] = [
            {
                "id": item.id,
                **({} if item.quantity is None else {"quantity": item.quantity}),
                **({} if item.price is None else {"item_price": amount(item.price)}),
            }
            for item in items
        ]
    return custom


class JsonBatches(ABC):
    """A destination that takes a JSON list of events.

    ``platform`` is whose match keys are made, ``event_names`` what it calls the standard events. A
    subclass makes the event and reads the answer. Of a platform that recognises no copy, an event
    which it may have is not sent again.
    """

    name: DestinationName
    codes: ClassVar[Codes]
    platform: ClassVar[str]
    title: ClassVar[str]
    event_names: ClassVar[Mapping[str, str]] = {}
    limits: Limits

    def __init__(
        self,
        request: BatchRequest,
        client: DeliveryClient,
        rules: ReadingRules,
        *,
        secrets: tuple[str, ...],
        max_age: timedelta | None = None,
        names: Mapping[str, str] | None = None,
        resends: bool = False,
    ) -> None:
        """``max_age``: an older event is not sent; None: as the registry says. ``names``: the
        operator's names of events. ``resends``: what a platform may have that recognises no copy
        is sent again all the same."""
        spec = spec_of(self.name)
        self.request = request
        self.client = client
        self.rules = rules
        self.judge = Judge(self.title, self.codes, secrets)
        self._names = EventNames(self.event_names, names or {})
        self._needs = spec.needs
        self._max_age = max_age or spec.age_limit({})
        if not spec.recognises_copies and not resends:
            failure = self.codes.failure("rejected", IN_DOUBT)
            self.limits = replace(self.limits, unknown_end=failure)

    @abstractmethod
    def form(
        self, conversion: Conversion, keys: Mapping[str, Any], dropped: list[tuple[str, str]]
    ) -> dict[str, Any] | NotSent:
        """The event in the platform's form, or why it is not sent. ``keys`` are the platform's
        match keys under Meta's names; ``dropped`` takes what had to be left out, and why."""

    @abstractmethod
    def read(self, answer: Answer, now: datetime, events: int) -> Verdict:
        """What the answer to a request of so many events comes to."""

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        """The event as one element of the list."""
        rules = self.rules
        conversion = ready_conversion(
            event, self._needs, site_url=rules.site_url, policy=rules.policy
        )
        if not isinstance(conversion, Conversion):
            return conversion
        if self._max_age is not None:
            words = f"the {self._max_age.days} days {self.title} accepts"
            expired = past_age_limit(conversion, event.now, self._max_age, words)
            if expired:
                return expired
        keys, dropped = person_keys(
            conversion.reading,
            self.platform,
            rules.country,
            rules.geo_match_keys,
            event_time=conversion.event_time,
            external_id=rules.external_id,
        )
        made = self.form(conversion, keys, dropped)
        if not isinstance(made, dict):
            return made
        body = orjson.dumps(made)
        if len(body) > self.limits.request_bytes:
            return reject("larger than a request may be", Failure.EVENT_TOO_LARGE)
        return Prepared(event, body, tuple(dropped))

    def unidentified(self, keys: Mapping[str, Any]) -> Rejected | None:
        """Why an event with these match keys finds nobody: it has none of what is enough."""
        ways = SUFFICIENT[self.platform]
        if any(all(key in keys for key in way) for way in ways):
            return None
        wanted = ", or ".join(" and ".join(way) for way in ways)
        return reject(f"nothing to match on: needs {wanted}", Failure.EVENT_UNIDENTIFIED)

    def is_limited(self, conversion: Conversion) -> bool:
        """Whether the person's data may serve to count the conversion and for nothing else."""
        refused = conversion.choices().get(Purpose.AD_PERSONALIZATION) is False
        return refused or is_limited(conversion.reading, self.rules.policy)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        """One POST of the batch."""
        answer = await self.post([member.body for member in batch])
        verdict = self.read(answer, now, len(batch))
        return Reply(self._not_again(answer, verdict), answer.duration_ms)

    def _not_again(self, answer: Answer, verdict: Verdict) -> Verdict:
        """The verdict; where the events would go again and the platform may have them, that nobody
        knows their end."""
        failure = self.limits.unknown_end
        outcome = verdict.outcome if isinstance(verdict, Uniform) else None
        if failure is None or not isinstance(outcome, Retry) or not may_be_taken(answer):
            return verdict
        message = f"{outcome.fault.message}: {self.title} may have the event"
        return Uniform(unknown_end(replace(outcome.fault, message=message, failure=failure)))

    async def post(self, events: Iterable[bytes]) -> Answer:
        """The answer to a request with these events; without any it is a question only."""
        request = self.request
        return await post(
            self.client, request.url, content=request.body(events), headers=request.headers
        )
