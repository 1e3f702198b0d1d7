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

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from typing import Any

import orjson
from aiohttp import web

from tracking_pipeline.sandbox import meta_answers, meta_rules
from tracking_pipeline.sandbox.stage import (
    Service,
    Stage,
    StandInAnswer,
    json_or_none,
    misbehaviour,
)
from tracking_pipeline.sandbox.steps import ScriptStep

DESTINATION = "meta_capi"
PREFIX = "/meta"
ADDRESS = PREFIX

_BEARER = "Bearer "
_GOOD = ScriptStep()


def routes(stage: Stage) -> list[web.RouteDef]:
    """The routes of the stand-in, under `PREFIX`."""
    meta = _Meta(stage)
    version = PREFIX + r"/{version:v\d+\.\d+}"
    return [
        web.post(version + "/{dataset_id}/events", meta.post_events),
        web.get(version + "/dataset_quality", meta.get_dataset_quality),
        web.post(version + "/", meta.post_batch),
    ]


@dataclass
class _Meta(Service):
    destination = DESTINATION
    traces: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    async def post_events(self, request: web.Request) -> web.Response:
        """Answers one batch of events."""
        self.stage.memory.check_waited(DESTINATION)
        payload = await _read_payload(request)
        events = payload.get("data")
        events = events if isinstance(events, list) else []
        answer = self._answer(request, payload)
        self.remember(
            answer,
            map(_event_id, events),
            events,
            test_event_code=payload.get("test_event_code"),
        )
        await self.delay(answer.step)
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
        await self.delay(answer.step)
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
        await self.delay(answer.step)
        return await self._send(request, answer)

    def _debug_token(self, batch: object, trace_id: str) -> StandInAnswer:
        question = batch[0] if isinstance(batch, list) and len(batch) == 1 else None
        url = question.get("relative_url") if isinstance(question, dict) else None
        if not isinstance(url, str) or not re.fullmatch(r"debug_token\?input_token=[^&]+", url):
            problem = "The sandbox takes a batch of one question, debug_token."
            body = meta_answers.parameter_error_body(problem, trace_id)
            return StandInAnswer(ScriptStep(status=400, code=100), body, problem)
        return StandInAnswer(_GOOD, meta_answers.debug_token_body(self.stage.meta_token, trace_id))

    def _quality(self, request: web.Request, trace_id: str) -> StandInAnswer:
        problem = "" if "dataset_id" in request.query else "The parameter dataset_id is required"
        events = self.stage.memory.accepted_events
        try:
            fields = request.query.get("fields", "web")
            found = meta_answers.quality(events, fields, self.stage.pixel_events)
        except meta_answers.UnknownFieldError as error:
            problem = problem or str(error)
        if problem:
            body = meta_answers.parameter_error_body(problem, trace_id)
            return StandInAnswer(ScriptStep(status=400, code=100), body, problem)
        return StandInAnswer(_GOOD, orjson.dumps(found))

    def _answer(self, request: web.Request, payload: Mapping[str, Any]) -> StandInAnswer:
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
    ) -> StandInAnswer | None:
        if "access_token" in request.query:
            self.stage.memory.violate("token_in_url", "access_token in the query of the URL")
            message = "The sandbox takes no access token from a URL."
        elif not _token(request, payload):
            message = "An access token is required to request this resource."
        else:
            return None
        body = meta_answers.token_error_body(message, trace_id)
        return StandInAnswer(ScriptStep(status=400, code=190), body, message)

    def _meet_conditions(self, trace_id: str) -> StandInAnswer | None:
        fault = self.conditions.take()
        return None if fault is None else _misbehave(fault, trace_id)

    def _refuse_proof(
        self, request: web.Request, payload: Mapping[str, Any], trace_id: str
    ) -> StandInAnswer | None:
        if self.stage.app_secret is None:
            return None
        token = _token(request, payload).encode()
        expected = hmac.new(self.stage.app_secret.encode(), token, sha256).hexdigest()
        proof = payload.get("appsecret_proof") or request.query.get("appsecret_proof")
        if isinstance(proof, str) and hmac.compare_digest(proof.encode(), expected.encode()):
            return None
        body = meta_answers.proof_error_body(trace_id)
        return StandInAnswer(ScriptStep(status=400, code=100), body, "wrong appsecret_proof")

    def _refuse_events(self, listed: object, trace_id: str) -> StandInAnswer | None:
        refusal = self._refusal(listed)
        if refusal is None:
            return None
        body = meta_answers.refusal_body(refusal, trace_id)
        return StandInAnswer(ScriptStep(status=400, code=refusal.code), body, refusal.title)

    def _refusal(self, listed: object) -> meta_rules.MetaRefusal | None:
        """Why the list as a whole is refused: its form, its length, or one event in it."""
        if not isinstance(listed, list) or not listed:
            return meta_rules.MetaRefusal("Invalid parameter", "data must be a list of events.")
        if len(listed) > meta_rules.MAX_EVENTS:
            self.stage.memory.violate("too_many_events", f"{len(listed)} events in one request")
            return meta_rules.MetaRefusal("Too many events", "data may hold at most 1,000 events.")
        if self.stage.lenient:
            return None
        now = self.stage.clock()
        refusals = [self._refused_event(event, now) for event in listed]
        return next((refusal for refusal in refusals if refusal is not None), None)

    def _refused_event(self, event: object, now: float) -> meta_rules.MetaRefusal | None:
        """Why one event is refused. What must never be in it is remembered, whatever comes."""
        if isinstance(event, dict):
            for place in meta_rules.raw_personal_data(event):
                self.stage.memory.violate("raw_personal_data", place, _event_id(event))
            for key in meta_rules.hashed_plain_keys(event):
                self.stage.memory.violate("hashed_plain_key", key, _event_id(event))
        return meta_rules.refusal(event, now)

    def _meet_faults(self, events: list[object], trace_id: str) -> StandInAnswer:
        step = self.stage.fault([_event_id(event) for event in events]) or _GOOD
        if not step.is_good:
            return _misbehave(step, trace_id)
        return StandInAnswer(step, meta_answers.success_body(len(events), trace_id, step.message))

    async def _send(self, request: web.Request, answer: StandInAnswer) -> web.Response:
        return await self.send(request, answer, headers=self._headers(request))

    def _headers(self, request: web.Request) -> dict[str, str]:
        headers = meta_answers.usage_headers(
            request.match_info.get("dataset_id", request.query.get("dataset_id", "")),
            self.conditions.usage_percent,
            self.conditions.regain_minutes,
        )
        token = self.stage.meta_token
        headers["facebook-api-version"] = token.served_version or request.match_info["version"]
        if token.warning is not None:
            headers["x-ad-api-version-warning"] = token.warning
        return headers


def _misbehave(step: ScriptStep, trace_id: str) -> StandInAnswer:
    return misbehaviour(step, b'{"events_received": ', meta_answers.step_body(step, trace_id))


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
        payload = json_or_none(await request.read())
        return payload if isinstance(payload, dict) else {}
    form = await request.post()
    payload = {name: value for name, value in form.items() if isinstance(value, str)}
    # The SDK sends each event as a JSON text of its own, in data[0], data[1] ... or data[].
    listed = [
        json_or_none(value) if isinstance(value, str) else None  # an uploaded file is no JSON
        for name, value in form.items()
        if name.startswith("data[")
    ]
    payload["data"] = listed or json_or_none(payload.get("data", ""))
    return payload
