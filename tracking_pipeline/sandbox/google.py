"""The stand-in for Google's Data Manager API, under `PREFIX`.

`POST /v1/events:ingest`            accepts up to 2,000 events, or refuses all of them
`GET  /v1/requestStatus:retrieve`   what became of an accepted request, once it is processed
`POST /tokeninfo`                   how long the token in the header lasts
`POST /token`                       access tokens for the credentials files of a rehearsal
`POST /_behaviour`                  how the stand-in behaves from now on, see below

Follows https://developers.google.com/data-manager/api/devguides/: one invalid event refuses the
whole request and nothing of it is processed; a request that is accepted is processed later, where a
`transactionId` that was processed before is a duplicate. With `validateOnly` the answer to what
would be accepted is an empty object, and nothing is kept. Two rules are this project's own: a token
in the URL is refused, because URLs end up in logs, and so is a key, which Google does not take.

Every ingestion goes the same way, and the first thing that is wrong decides the answer:

    token -> destination-wide faults -> rate -> the request -> each event -> scripts and random
        faults -> accepted

Scripts, memory and journal know an event by its `transactionId`. `/_behaviour` takes an object of

    processing             true (at first): every status is PROCESSING; false: all are processed
    refused_later          {transactionId: reason or null}: what an accepted event fails of
    warned                 {transactionId: reason}: what is warned of when an event is accepted
    name_culprits          true (at first): violations say `events[3]...`; false: they do not
    requests_per_minute    300 (at first), or null for no limit
    refuse_numbers         false (at first); true: a `transactionId` of digits alone is refused
    token_seconds          a year (at first): how long a token lasts, by `tokeninfo`
    tokens                 the tokens that are accepted, or null (at first) for any

What is left out stays as it is.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from tracking_pipeline.sandbox import google_rules
from tracking_pipeline.sandbox.google_rules import FieldViolation, transaction_id
from tracking_pipeline.sandbox.stage import (
    Service,
    Stage,
    StandInAnswer,
    json_or_none,
    misbehaviour,
)
from tracking_pipeline.sandbox.steps import Reach, ScriptStep

# The bodies that Google's Data Manager API answers with. Pure.
#
# An error is a `google.rpc.Status` (https://google.aip.dev/193); the details are those of
# https://developers.google.com/data-manager/api/devguides/concepts/understand-errors.

_TYPE = "type.googleapis.com/google.rpc."
_DOMAIN = "datamanager.googleapis.com"
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_PREFIX = "PROCESSING_ERROR_REASON_"


def accepted_body(request_id: str, warned: Sequence[FieldViolation] = ()) -> bytes:
    """The body of a 200: accepted, which is not the same as used."""
    if not warned:
        return orjson.dumps({"requestId": request_id})
    warnings = [
        {
            "field": each.field,
            "description": "The field is ignored.",
            "reason": f"WARNING_REASON_{each.reason}",
        }
        for each in warned
    ]
    return orjson.dumps({"requestId": request_id, "fieldWarnings": warnings})


def error_body(
    status: int,
    message: str,
    request_id: str,
    *,
    reason: str | None = None,
    violations: Sequence[FieldViolation] = (),
    quota_limit: str | None = None,
    retry_seconds: float | None = None,
) -> bytes:
    """The body of any error."""
    details: list[dict[str, Any]] = []
    name = _STATUSES.get(status, "UNKNOWN")
    metadata = {"requestId": request_id} | ({"quota_limit": quota_limit} if quota_limit else {})
    details.append(
        {
            "@type": _TYPE + "ErrorInfo",
            "reason": reason or name,
            "domain": _DOMAIN,
            "metadata": metadata,
        }
    )
    if violations:
        listed = [
            {"field": each.field, "description": "The field is not valid.", "reason": each.reason}
            for each in violations
        ]
        details.append({"@type": _TYPE + "BadRequest", "fieldViolations": listed})
    if retry_seconds is not None:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": f"{retry_seconds:g}s"})
    details.append({"@type": _TYPE + "RequestInfo", "requestId": request_id})
    error = {"code": status, "message": message, "status": name, "details": details}
    return orjson.dumps({"error": error})


def step_body(
    step: ScriptStep, request_id: str, violations: Sequence[FieldViolation] = ()
) -> bytes:
    """The body of a scripted error; a message in capitals is its reason."""
    message = step.message or "The request cannot be served."
    reason = message if message.isupper() else None
    return error_body(step.status, message, request_id, reason=reason, violations=violations)


def status_body(destination: Any, events: int, errors: Counter[str], *, processing: bool) -> bytes:
    """What became of a request of so many events; `errors` counts the failed ones by reason."""
    failed = sum(errors.values())
    status: dict[str, Any] = {"destination": destination}
    if processing:
        status["requestStatus"] = "PROCESSING"
    else:
        status["requestStatus"] = (
            "SUCCESS" if not failed else "FAILED" if failed == events else "PARTIAL_SUCCESS"
        )
        # An int64 is a text in JSON.
        status["eventsIngestionStatus"] = {"recordCount": str(events)}
        if failed:
            counts = [
                {"recordCount": str(count), "reason": _PREFIX + reason}
                for reason, count in errors.items()
            ]
            status["errorInfo"] = {"errorCounts": counts}
    return orjson.dumps({"requestStatusPerDestination": [status]})


DESTINATION = "google_ec"
PREFIX = "/google"
ADDRESS = PREFIX

REQUESTS_PER_MINUTE = 300
_GOOD = ScriptStep()
_SCOPE = "https://www.googleapis.com/auth/datamanager"
# Google answers with one violation for each bad field; a sender needs only the first few.
_MOST_VIOLATIONS = 100


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    google = _Google(stage)
    return [
        web.post(PREFIX + "/v1/events:ingest", google.ingest),
        web.get(PREFIX + "/v1/requestStatus:retrieve", google.retrieve),
        web.post(PREFIX + "/token", google.token),
        web.post(PREFIX + "/tokeninfo", google.tokeninfo),
        web.post(PREFIX + "/_behaviour", google.behave),
    ]


@dataclass
class _Accepted:
    """A request that is being processed. `repeated` are the ids that Google had before it."""

    destination: Any
    ids: tuple[str, ...]
    repeated: frozenset[str]


@dataclass
class Behaviour:
    """How the stand-in behaves; the module describes each field."""

    processing: bool = True
    refused_later: dict[str, str | None] = field(default_factory=dict)
    warned: dict[str, str] = field(default_factory=dict)
    name_culprits: bool = True
    refuse_numbers: bool = False
    requests_per_minute: int | None = REQUESTS_PER_MINUTE
    token_seconds: int = 365 * 86_400
    tokens: list[str] | None = None


@dataclass
class _Google(Service):
    destination = DESTINATION
    behaviour: Behaviour = field(default_factory=Behaviour)
    accepted: dict[str, _Accepted] = field(default_factory=dict)
    known_ids: set[str] = field(default_factory=set)
    recent: deque[float] = field(default_factory=deque)
    issued_tokens: int = 0

    async def ingest(self, request: web.Request) -> web.Response:
        """Answers one batch of events."""
        self.stage.memory.check_waited(DESTINATION)
        payload = json_or_none(await request.read())
        payload = payload if isinstance(payload, dict) else {}
        listed = payload.get("events")
        events = listed if isinstance(listed, list) else []
        ids = tuple(map(transaction_id, events))
        request_id = uuid4().hex
        answer = self._answer(request, payload, events, request_id)
        accepts = answer.step.accepts and payload.get("validateOnly") is not True
        if answer.step.accepts and not accepts:
            answer = replace(answer, body=b"{}")
        self.remember(answer, ids, events, accepted=accepts)
        if accepts:
            self._accept(request_id, payload["destinations"][0], ids)
        await self.delay(answer.step)
        return await self.send(request, answer)

    async def retrieve(self, request: web.Request) -> web.Response:
        """Tells what became of an accepted request."""
        request_id = request.query.get("requestId", "")
        answer = self._refuse_token(request, request_id) or self._meet_conditions(request_id)
        if answer is None:
            accepted = self.accepted.get(request_id)
            if accepted is None:
                body = error_body(404, "There is no such request.", request_id)
                answer = StandInAnswer(ScriptStep(status=404), body)
            else:
                answer = StandInAnswer(_GOOD, self._status(accepted))
        return await self.send(request, answer)

    async def token(self, request: web.Request) -> web.Response:
        """Gives an access token for a signed assertion or a refresh token, as OAuth does."""
        form = await request.post()
        if not (form.get("assertion") or form.get("refresh_token")) or not form.get("grant_type"):
            return web.json_response({"error": "invalid_request"}, status=400)
        if form.get("refresh_token") == "revoked":
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.issued_tokens += 1
        token = f"issued-token-{self.issued_tokens}"
        return web.json_response(
            {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}
        )

    async def tokeninfo(self, request: web.Request) -> web.Response:
        """Tells how long a token lasts and what it is for."""
        refused = self._refuse_token(request, "") or self._meet_conditions("")
        if refused is not None:
            return await self.send(request, refused)
        told = {"expires_in": str(self.behaviour.token_seconds), "scope": _SCOPE}
        return web.json_response(told)

    async def behave(self, request: web.Request) -> web.Response:
        """Takes over what is to change."""
        wanted = json_or_none(await request.read())
        if not isinstance(wanted, dict) or wanted.keys() - vars(self.behaviour).keys():
            names = ", ".join(vars(self.behaviour))
            return web.json_response({"error": f"an object of {names} is wanted"}, status=400)
        refused_later = {**self.behaviour.refused_later, **wanted.pop("refused_later", {})}
        self.behaviour = Behaviour(
            **{**vars(self.behaviour), **wanted, "refused_later": refused_later}
        )
        return web.json_response({"changed": sorted(wanted)})

    def _answer(
        self,
        request: web.Request,
        payload: Mapping[str, Any],
        events: list[Any],
        request_id: str,
    ) -> StandInAnswer:
        """Decides the answer, in the order that the module describes."""
        return (
            self._refuse_token(request, request_id)
            or self._meet_conditions(request_id)
            or self._refuse_rate(request_id)
            or self._refuse_request(payload, events, request_id)
            or self._refuse_events(payload, events, request_id)
            or self._meet_faults(events, request_id)
        )

    def _refuse_token(self, request: web.Request, request_id: str) -> StandInAnswer | None:
        tokens = self.behaviour.tokens
        for name in ("access_token", "key", "token"):
            if name in request.query:
                self.stage.memory.violate("token_in_url", f"{name} in the query of the URL")
                return _error(401, "The sandbox takes no token from a URL.", request_id)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token or (tokens is not None and token not in tokens):
            return _error(401, "Request had invalid authentication credentials.", request_id)
        return None

    def _meet_conditions(self, request_id: str) -> StandInAnswer | None:
        fault = self.conditions.take()
        return None if fault is None else self._misbehave(fault, request_id)

    def _refuse_rate(self, request_id: str) -> StandInAnswer | None:
        """Google counts the requests of a Cloud project in each minute."""
        limit, now = self.behaviour.requests_per_minute, time.monotonic()
        while self.recent and self.recent[0] <= now - 60:
            self.recent.popleft()
        if limit is None or len(self.recent) < limit:
            self.recent.append(now)
            return None
        body = error_body(
            429,
            "Quota exceeded for quota metric 'Ingest requests'.",
            request_id,
            reason="RATE_LIMIT_EXCEEDED",
            quota_limit="IngestRequestsPerMinutePerProject",
            retry_seconds=60,
        )
        return StandInAnswer(ScriptStep(status=429, code=4), body, "over the rate")

    def _refuse_request(
        self, payload: Mapping[str, Any], events: list[Any], request_id: str
    ) -> StandInAnswer | None:
        found = self._request_violations(payload, events)
        if not found:
            return None
        return _invalid(found, request_id)

    def _request_violations(
        self, payload: Mapping[str, Any], events: list[Any]
    ) -> list[FieldViolation]:
        """What is wrong with the request as a whole, whatever its events are."""
        known = {"destinations", "events", "consent", "validateOnly", "encoding", "encryptionInfo"}
        if payload.keys() - known:
            return [FieldViolation("", "INVALID_FORMAT")]
        found = list(_destination_violations(payload.get("destinations")))
        if payload.get("encoding") != "HEX":
            found.append(FieldViolation("encoding", "REQUIRED_FIELD_MISSING"))
        if not events:
            found.append(FieldViolation("events", "REQUIRED_FIELD_MISSING"))
        if len(events) > google_rules.MAX_EVENTS:
            self.stage.memory.violate("too_many_events", f"{len(events)} events in one request")
            found.append(FieldViolation("events", "TOO_MANY_EVENTS"))
        return found

    def _refuse_events(
        self, payload: Mapping[str, Any], events: list[Any], request_id: str
    ) -> StandInAnswer | None:
        if self.stage.lenient:
            return None
        now = self.stage.clock()
        references = [each.get("reference", "") for each in payload["destinations"]]
        found: list[FieldViolation] = []
        for position, event in enumerate(events):
            if isinstance(event, dict):
                for place in google_rules.raw_personal_data(event):
                    self.stage.memory.violate("raw_personal_data", place, transaction_id(event))
            wrong = google_rules.violations(event, now, references)
            if self.behaviour.refuse_numbers and transaction_id(event).isdecimal():
                wrong.append(FieldViolation("transactionId", "INVALID_FORMAT"))
            found += [self._placed(each, position) for each in wrong]
        return _invalid(found[:_MOST_VIOLATIONS], request_id) if found else None

    def _placed(self, violation: FieldViolation, position: int) -> FieldViolation:
        if not self.behaviour.name_culprits:
            return FieldViolation(f"events.{violation.field}".rstrip("."), violation.reason)
        place = f"events[{position}].{violation.field}".rstrip(".")
        return FieldViolation(place, violation.reason)

    def _meet_faults(self, events: list[Any], request_id: str) -> StandInAnswer:
        ids = [transaction_id(event) for event in events]
        culprits = self.stage.culprits(ids)
        step = self.stage.fault(ids) or _GOOD
        if step.reach is Reach.EVENT:
            reason = step.message if step.message and step.message.isupper() else "INVALID_FORMAT"
            found = [self._placed(FieldViolation("", reason), position) for position in culprits]
            return StandInAnswer(step, step_body(step, request_id, found), "refused by its script")
        if not step.is_good:
            return self._misbehave(step, request_id)
        return StandInAnswer(step, accepted_body(request_id, self._warned(ids)))

    def _warned(self, ids: Sequence[str]) -> list[FieldViolation]:
        """What is warned of, though the events are accepted."""
        reasons = self.behaviour.warned
        return [
            FieldViolation(f"events[{place}]", reasons[event_id])
            for place, event_id in enumerate(ids)
            if event_id in reasons
        ]

    def _misbehave(self, step: ScriptStep, request_id: str) -> StandInAnswer:
        return misbehaviour(step, b'{"requestId": ', step_body(step, request_id))

    def _accept(self, request_id: str, destination: Any, ids: tuple[str, ...]) -> None:
        twice = {each for each, count in Counter(ids).items() if count > 1}
        repeated = frozenset((self.known_ids & set(ids)) | twice) - {""}
        self.known_ids.update(ids)
        self.accepted[request_id] = _Accepted(destination, ids, repeated)

    def _status(self, accepted: _Accepted) -> bytes:
        errors: Counter[str] = Counter()
        for event_id in accepted.ids:
            reason = self.behaviour.refused_later.get(event_id)
            if reason is None and event_id in accepted.repeated:
                reason = "DUPLICATE_TRANSACTION_ID"
            if reason is not None:
                errors[reason] += 1
        return status_body(
            accepted.destination,
            len(accepted.ids),
            errors,
            processing=self.behaviour.processing,
        )


def _destination_violations(destinations: object) -> list[FieldViolation]:
    if not isinstance(destinations, list) or not destinations:
        return [FieldViolation("destinations", "REQUIRED_FIELD_MISSING")]
    if len(destinations) > google_rules.MAX_DESTINATIONS:
        return [FieldViolation("destinations", "TOO_MANY_DESTINATIONS")]
    found = []
    for position, destination in enumerate(destinations):
        place = f"destinations[{position}]"
        if not isinstance(destination, dict):
            return [FieldViolation(place, "INVALID_FORMAT")]
        for name in ("operatingAccount", "loginAccount"):
            account = destination.get(name)
            if (account is not None or name == "operatingAccount") and not _is_account(account):
                found.append(FieldViolation(f"{place}.{name}", "INVALID_DESTINATION"))
        action = destination.get("productDestinationId")
        if not isinstance(action, str) or not action.isdecimal():
            found.append(
                FieldViolation(f"{place}.productDestinationId", "INVALID_CONVERSION_ACTION_ID")
            )
    return found


def _is_account(account: object) -> bool:
    if not isinstance(account, dict) or account.get("accountType") != "GOOGLE_ADS":
        return False
    account_id = account.get("accountId")
    return isinstance(account_id, str) and account_id.isdecimal()


def _invalid(found: Sequence[FieldViolation], request_id: str) -> StandInAnswer:
    message = "There was a problem with the request."
    body = error_body(400, message, request_id, violations=found)
    return StandInAnswer(ScriptStep(status=400, code=100), body, found[0].reason)


def _error(status: int, message: str, request_id: str) -> StandInAnswer:
    body = error_body(status, message, request_id)
    return StandInAnswer(ScriptStep(status=status), body, message)
