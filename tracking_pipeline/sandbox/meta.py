"""The stand-in for Meta's Conversions API: `POST /{version}/{dataset_id}/events`, and what Meta
says of the quality of those events: `GET /{version}/dataset_quality`. `POST /{version}/` takes a
batch of one question, `debug_token`: what is known of a token, `stage.MetaToken`.

Follows https://developers.facebook.com/docs/marketing-api/conversions-api/using-the-api:
one invalid event refuses the whole request and nothing of it is processed, a request holds at most
1,000 events, and events with one name and one id are kept once in 48 hours. One rule is this
project's own: a token in the URL is refused, because URLs end up in logs.

Every request goes the same way, and the first thing that is wrong decides the answer:

    body -> token -> destination-wide faults -> appsecret_proof -> the list -> each event
         -> scripts -> random faults -> accepted

A request is remembered before its answer leaves: a client that dies while it waits leaves an event
that the destination has, as it would in life.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import Any

import orjson
from aiohttp import web

from tracking_pipeline.sandbox import meta_answers, meta_rules
from tracking_pipeline.sandbox.memory import ReceivedRequest
from tracking_pipeline.sandbox.stage import Conditions, Stage, hang, reset, retry_after_seconds
from tracking_pipeline.sandbox.steps import Step

DESTINATION = "meta_capi"
PREFIX = "/meta"
ADDRESS = PREFIX

_BEARER = "Bearer "
_GOOD = Step()
_HTML = b"<html><body><h1>Sorry, something went wrong.</h1></body></html>"


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    meta = _Meta(stage)
    version = PREFIX + r"/{version:v\d+\.\d+}"
    return [
        web.post(version + "/{dataset_id}/events", meta.post_events),
        web.get(version + "/dataset_quality", meta.get_dataset_quality),
        web.post(version + "/", meta.post_batch),
    ]


@dataclass(frozen=True)
class _Answer:
    """What a request meets, the body it is told, and why it is no success."""

    step: Step
    body: bytes
    reason: str | None = None


@dataclass
class _Meta:
    stage: Stage
    traces: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    @property
    def conditions(self) -> Conditions:
        return self.stage.conditions[DESTINATION]

    async def post_events(self, request: web.Request) -> web.Response:
        """Answers one batch of events."""
        stage = self.stage
        stage.memory.check_waited(DESTINATION)
        payload = await _read_payload(request)
        events = payload.get("data")
        events = events if isinstance(events, list) else []
        answer = self._answer(request, payload)
        stage.memory.remember(
            ReceivedRequest(
                destination=DESTINATION,
                at=time.monotonic(),
                event_ids=tuple(_event_id(event) for event in events),
                answer=answer.step.label,
                accepted=answer.step.accepts,
                reason=answer.reason,
                test_event_code=payload.get("test_event_code"),
            ),
            events,
            clock_seconds=stage.clock(),
        )
        await asyncio.sleep(self.conditions.latency_seconds + answer.step.delay_seconds)
        return await self._send(request, answer)

    async def get_dataset_quality(self, request: web.Request) -> web.Response:
        """Answers a question about the events that were accepted."""
        trace_id = f"sandbox{self.traces():08d}"
        answer = (
            self._refuse_token(request, {}, trace_id)
            or self._meet_conditions(trace_id)
            or self._refuse_proof(request, {}, trace_id)
            or self._quality(request, trace_id)
        )
        await asyncio.sleep(self.conditions.latency_seconds + answer.step.delay_seconds)
        return await self._send(request, answer)

    async def post_batch(self, request: web.Request) -> web.Response:
        """Answers a batch of one question about a token."""
        payload = await _read_payload(request)
        trace_id = f"sandbox{self.traces():08d}"
        answer = (
            self._refuse_token(request, payload, trace_id)
            or self._meet_conditions(trace_id)
            or self._refuse_proof(request, payload, trace_id)
            or self._debug_token(payload.get("batch"), trace_id)
        )
        await asyncio.sleep(self.conditions.latency_seconds + answer.step.delay_seconds)
        return await self._send(request, answer)

    def _debug_token(self, batch: object, trace_id: str) -> _Answer:
        question = batch[0] if isinstance(batch, list) and len(batch) == 1 else None
        url = question.get("relative_url") if isinstance(question, dict) else None
        if not isinstance(url, str) or not re.fullmatch(r"debug_token\?input_token=[^&]+", url):
            problem = "The sandbox takes a batch of one question, debug_token."
            body = meta_answers.parameter_error_body(problem, trace_id)
            return _Answer(Step(status=400, code=100), body, problem)
        return _Answer(_GOOD, meta_answers.debug_token_body(self.stage.meta_token, trace_id))

    def _quality(self, request: web.Request, trace_id: str) -> _Answer:
        problem = "" if "dataset_id" in request.query else "The parameter dataset_id is required"
        events = self.stage.memory.accepted_events
        try:
            found = meta_answers.quality(events, request.query.get("fields", "web"))
        except meta_answers.UnknownFieldError as error:
            problem = problem or str(error)
        if problem:
            body = meta_answers.parameter_error_body(problem, trace_id)
            return _Answer(Step(status=400, code=100), body, problem)
        return _Answer(_GOOD, orjson.dumps(found))

    def _answer(self, request: web.Request, payload: Mapping[str, Any]) -> _Answer:
        """Decides the answer, in the order that the module describes."""
        trace_id = f"sandbox{self.traces():08d}"
        return (
            self._refuse_token(request, payload, trace_id)
            or self._meet_conditions(trace_id)
            or self._refuse_proof(request, payload, trace_id)
            or self._refuse_events(payload.get("data"), trace_id)
            or self._meet_faults(payload["data"], trace_id)
        )

    def _refuse_token(
        self, request: web.Request, payload: Mapping[str, Any], trace_id: str
    ) -> _Answer | None:
        if "access_token" in request.query:
            self.stage.memory.violate("token_in_url", "access_token in the query of the URL")
            message = "The sandbox takes no access token from a URL."
        elif not _token(request, payload):
            message = "An access token is required to request this resource."
        else:
            return None
        body = meta_answers.token_error_body(message, trace_id)
        return _Answer(Step(status=400, code=190), body, message)

    def _meet_conditions(self, trace_id: str) -> _Answer | None:
        fault = self.conditions.take()
        return None if fault is None else _misbehave(fault, trace_id)

    def _refuse_proof(
        self, request: web.Request, payload: Mapping[str, Any], trace_id: str
    ) -> _Answer | None:
        if self.stage.app_secret is None:
            return None
        token = _token(request, payload).encode()
        expected = hmac.new(self.stage.app_secret.encode(), token, sha256).hexdigest()
        proof = payload.get("appsecret_proof") or request.query.get("appsecret_proof")
        if isinstance(proof, str) and hmac.compare_digest(proof.encode(), expected.encode()):
            return None
        body = meta_answers.proof_error_body(trace_id)
        return _Answer(Step(status=400, code=100), body, "wrong appsecret_proof")

    def _refuse_events(self, listed: object, trace_id: str) -> _Answer | None:
        refusal = self._refusal(listed)
        if refusal is None:
            return None
        body = meta_answers.refusal_body(refusal, trace_id)
        return _Answer(Step(status=400, code=refusal.code), body, refusal.title)

    def _refusal(self, listed: object) -> meta_rules.Refusal | None:
        """Why the list as a whole is refused: its form, its length, or one event in it."""
        if not isinstance(listed, list) or not listed:
            return meta_rules.Refusal("Invalid parameter", "data must be a list of events.")
        if len(listed) > meta_rules.MAX_EVENTS:
            self.stage.memory.violate("too_many_events", f"{len(listed)} events in one request")
            return meta_rules.Refusal("Too many events", "data may hold at most 1,000 events.")
        if self.stage.lenient:
            return None
        now = self.stage.clock()
        refusals = [self._refused_event(event, now) for event in listed]
        return next((refusal for refusal in refusals if refusal is not None), None)

    def _refused_event(self, event: object, now: float) -> meta_rules.Refusal | None:
        """Why one event is refused. What must never be in it is remembered, whatever comes."""
        if isinstance(event, dict):
            for place in meta_rules.raw_personal_data(event):
                self.stage.memory.violate("raw_personal_data", place, _event_id(event))
            for key in meta_rules.hashed_plain_keys(event):
                self.stage.memory.violate("hashed_plain_key", key, _event_id(event))
        return meta_rules.refusal(event, now)

    def _meet_faults(self, events: list[object], trace_id: str) -> _Answer:
        step = self.stage.fault([_event_id(event) for event in events]) or _GOOD
        if not step.is_good:
            return _misbehave(step, trace_id)
        return _Answer(step, meta_answers.success_body(len(events), trace_id, step.message))

    async def _send(self, request: web.Request, answer: _Answer) -> web.Response:
        step = answer.step
        if step.kind == "timeout":
            await hang()
        if step.kind in ("reset", "late_reset"):
            return reset(request)
        if step.retry_after is not None:
            seconds = retry_after_seconds(step.retry_after, self.stage.clock())
            if seconds is not None:
                self.stage.memory.told_to_wait(DESTINATION, seconds)
        content_type = "text/html" if step.kind == "html" else "application/json"
        return web.Response(
            status=step.status,
            body=answer.body,
            content_type=content_type,
            headers=self._headers(request, step),
        )

    def _headers(self, request: web.Request, step: Step) -> dict[str, str]:
        headers = meta_answers.usage_headers(
            request.match_info.get("dataset_id", request.query.get("dataset_id", "")),
            self.conditions.usage_percent,
            self.conditions.regain_minutes,
        )
        token = self.stage.meta_token
        headers["facebook-api-version"] = token.served_version or request.match_info["version"]
        if token.warning is not None:
            headers["x-ad-api-version-warning"] = token.warning
        if step.retry_after is not None:
            headers["Retry-After"] = step.retry_after
        return headers


def _misbehave(step: Step, trace_id: str) -> _Answer:
    reason = f"misbehaved: {step.label if step.kind == 'answer' else step.kind}"
    if step.kind == "html":
        return _Answer(step, _HTML, reason)
    if step.kind == "broken_json":
        return _Answer(step, b'{"events_received": ', reason)
    return _Answer(step, meta_answers.step_body(step, trace_id), reason)


def _event_id(event: object) -> str:
    """The id under which scripts and memory know an event; empty for one without a usable id."""
    event_id = event.get("event_id") if isinstance(event, dict) else None
    return event_id if isinstance(event_id, str) else ""


def _token(request: web.Request, payload: Mapping[str, Any]) -> str:
    token = payload.get("access_token")
    if isinstance(token, str) and token:
        return token
    header = request.headers.get("Authorization", "")
    return header[len(_BEARER) :].strip() if header.startswith(_BEARER) else ""


async def _read_payload(request: web.Request) -> dict[str, Any]:
    """The top-level fields, from a JSON or a form body. What cannot be read is an empty payload."""
    if request.content_type == "application/json":
        payload = _loads(await request.read())
        return payload if isinstance(payload, dict) else {}
    form = await request.post()
    payload = {name: value for name, value in form.items() if isinstance(value, str)}
    # The SDK sends each event as a JSON text of its own, in data[0], data[1] ... or data[].
    listed = [_loads(value) for name, value in form.items() if name.startswith("data[")]
    payload["data"] = listed or _loads(payload.get("data", ""))
    return payload


def _loads(text: object) -> Any:
    try:
        return orjson.loads(text)  # type: ignore[arg-type]  # an uploaded file is no JSON either
    except orjson.JSONDecodeError:
        return None
