"""Intake: where a site posts its leads and events.

    POST /functions/v1/save-lead    a lead into ``leads``, its event into the ledger
    POST /functions/v1/log-event    an event into the ledger and, for the destinations of
                                    LOG_EVENT_FORWARD_TO, into the queue of accepted events

Failure policy: 2xx means committed. Anything else promises nothing: what was posted may be posted
again under the same id, and is recorded once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio.to_thread
import orjson
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, Field
from starlette.routing import Route

from tracking_pipeline.web.answers import ERRORS
from tracking_pipeline.web.errors import ApiError, ErrorAnswer, unavailable
from tracking_pipeline.web.intake.events import IncomingEvent, UnusableEventError
from tracking_pipeline.web.intake.lead_saving import LeadConflictError
from tracking_pipeline.web.intake.leads import read_lead
from tracking_pipeline.web.intake.recorder import NotRecordedError, Recorded, RefusedEventError
from tracking_pipeline.web.intake.service import Intake, intake_at_work


class EventAnswer(BaseModel):
    """What became of an event."""

    success: bool = Field(True, description="The event is in the ledger, now or before.")
    event_id: str = Field(description="The id that destinations know the event by.")
    duplicate: bool = Field(False, description="The ledger had an event of this id.")
    duplicate_conversion: bool = Field(
        False, description="The ledger had this event of this lead under another id."
    )
    forwarded_to: list[str] = Field(
        default_factory=list, description="Destinations that the event was handed over for."
    )


class LeadAnswer(BaseModel):
    """What became of a lead."""

    success: bool = Field(True, description="The lead is saved, now or before.")
    lead_id: str | None = Field(
        description="The lead's id, for the events that follow; null where the lead was found by"
        " its e-mail address alone."
    )
    duplicate: bool = Field(
        False,
        description="The lead was there. What it lacked was filled from this form; what the person"
        " said before was not changed.",
    )
    located: bool = Field(False, description="Its location is already known.")
    event: EventAnswer | None = Field(
        None, description="The lead's own event; null where the ledger does not take it."
    )


INTAKE_ERRORS: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    **{
        status: {"model": ErrorAnswer, "description": description}
        for status, description in {
            400: "The body is not JSON.",
            401: "The intake key is missing or wrong.",
            403: "No intake key is configured, and the request came over the network.",
            422: "The event or the lead cannot be used; the error says which field.",
            429: "Too many requests from this client.",
            503: "Nothing is promised: send the same again.",
        }.items()
    },
}

LEAD_ERRORS: dict[int | str, dict[str, Any]] = {
    **INTAKE_ERRORS,
    409: {"model": ErrorAnswer, "description": "Another person's lead is in the way."},
}

LOG_EVENT = """
Idempotent by `event_id`: the same id again is answered with `duplicate`. An event without one gets
one. A request is one event. The address and the browser of the request are taken for the visitor's
where the event names neither, so a site's server must name them, in the event or, the address, in
the header `X-Visitor-Address`.
"""
SAVE_LEAD = """
The same form again makes no second lead: one of the same `lead_id`, else the same
`Idempotency-Key`, else the same `event_id`, else the same `session_id`, each with the same e-mail
address; also one of the same e-mail address, where `leads` holds each once. The later form fills
what the lead lacks and replaces a city, state, zip or country that was looked up by address; what
the person said before stays. A `lead_id` of another person's lead is refused with 409. The lead's
event, `lead_captured`, goes into the ledger; a form that names its `event_name` is recorded
and forwarded under it as by `log-event`.
"""


def json_body(description: str, example: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI of a body that may be any JSON object."""
    content = {"schema": {"type": "object"}, "example": example}
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {"application/json": content},
        }
    }


EVENT_BODY = json_body(
    "One event: in Meta's form (`event_name`, `event_time`, `user_data`, `custom_data`, also inside"
    " `data`), with the ledger's columns, or flat. Raw identifiers are hashed and not kept.",
    {
        "event_name": "Lead",
        "event_id": "lead-4711",
        "email": "jane@example.com",
        "value": 49.9,
        "currency": "USD",
    },
)
LEAD_BODY = json_body(
    "A lead form: flat, or with its person under `lead`, `customer`, `address` and the like."
    " `session_data` is kept as it is.",
    {
        "name": "Jane Roe",
        "email": "jane@example.com",
        "phone": "+1 512 555 0100",
        "address": {"city": "Austin", "state": "TX", "zip": "78701"},
        "session_id": "a0000000-0000-4000-8000-000000000001",
        "session_data": {"utm_source": "google"},
    },
)


_BOM = b"\xef\xbb\xbf"
_NUL = b"\\u0000"
# One escape after the other, so that an escaped backslash before "ud83d" is none. JavaScript
# writes half an emoji, of a text that was cut, as the escape of a lone surrogate.
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\(u[dD][89a-fA-F][0-9a-fA-F]{2})|\\(u0000)|\\.",
    re.DOTALL,
)


def read_body(body: bytes) -> Any:
    """The JSON value of a body: with or without a byte order mark, without U+0000, and with U+FFFD
    for lone surrogates; neither PostgreSQL nor a destination takes either. Raises ValueError for
    what is no JSON, or nested too deeply."""
    body = body.removeprefix(_BOM)
    if _NUL in body:
        body = _ESCAPE.sub(_storable, body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return orjson.loads(_ESCAPE.sub(_storable, body))


def _storable(escape: re.Match[bytes]) -> bytes:
    if escape[1]:
        return b"\\ufffd"
    return b"" if escape[2] else escape[0]


T = TypeVar("T")

# Reading a longer body takes longer than others should wait for the event loop.
_LONGEST_IN_LOOP_BYTES = 32 * 1024
_LONGEST_KEY = 200

_PREFIX = "/functions/v1"
intake_router = APIRouter(prefix=_PREFIX, tags=["intake"], lifespan=intake_at_work)


# The answers are written without a model: checking them takes as long as reading an event.
@intake_router.post(
    "/log-event",
    summary="Record an event",
    description=LOG_EVENT,
    response_model=EventAnswer,
    responses=INTAKE_ERRORS,
    openapi_extra=EVENT_BODY,
)
async def log_event(request: Request) -> Response:
    intake: Intake = request.app.state.intake
    sender = intake.admit(request)
    event = await _read(request, lambda payload: intake.read_event(payload, sender))
    try:
        recorded = await intake.recorder.record(event)
    except NotRecordedError as error:
        raise unavailable(str(error)) from None
    except RefusedEventError as error:
        raise ApiError(422, str(error)) from None
    return _json(_event_answer(event, recorded))


# The same endpoint without what FastAPI does around one, a tenth of the server's time for an event.
# It comes before the router's own, which is for the manual.
event_route = Route(f"{_PREFIX}/log-event", log_event, methods=["POST"], include_in_schema=False)


@intake_router.post(
    "/save-lead",
    summary="Save a lead",
    description=SAVE_LEAD,
    response_model=LeadAnswer,
    responses=LEAD_ERRORS,
    openapi_extra=LEAD_BODY,
)
async def post_lead(
    request: Request,
    idempotency_key: Annotated[str | None, Header(max_length=_LONGEST_KEY)] = None,
) -> Response:
    intake: Intake = request.app.state.intake
    sender = intake.admit(request)
    columns = await intake.columns.read()
    form = await _read(
        request,
        lambda payload: read_lead(
            payload,
            sender,
            columns,
            idempotency_key=idempotency_key,
            default_country=intake.rules.country,
        ),
    )
    try:
        lead, event, recorded = await intake.save_lead(form, sender)
    except UnusableEventError as error:
        raise ApiError(422, str(error)) from None
    except LeadConflictError as error:
        raise ApiError(409, str(error)) from None
    return _json(
        {
            "success": True,
            "lead_id": str(lead.id) if lead.is_told else None,
            "duplicate": not lead.is_new,
            "located": lead.is_located,
            "event": _event_answer(event, recorded) if event else None,
        }
    )


async def _read(request: Request, read: Callable[[Any], T]) -> T:
    """What ``read`` makes of the request's JSON body. Raises :class:`ApiError`: 400 or 422."""
    body = await request.body()
    if len(body) <= _LONGEST_IN_LOOP_BYTES:
        return _decoded(body, read)
    return await anyio.to_thread.run_sync(_decoded, body, read)


def _decoded(body: bytes, read: Callable[[Any], T]) -> T:
    try:
        payload = read_body(body)
    except ValueError:
        raise ApiError(400, "the body is not JSON") from None
    try:
        return read(payload)
    except UnusableEventError as error:
        raise ApiError(422, str(error)) from None


def _event_answer(event: IncomingEvent, recorded: Recorded) -> dict[str, Any]:
    """As :class:`EventAnswer`."""
    return {
        "success": True,
        "event_id": event.sent_as,
        "duplicate": recorded.duplicate,
        "duplicate_conversion": recorded.duplicate_conversion,
        "forwarded_to": event.destinations if recorded.is_new else (),
    }


def _json(answer: dict[str, Any]) -> Response:
    return Response(orjson.dumps(answer), media_type="application/json")
