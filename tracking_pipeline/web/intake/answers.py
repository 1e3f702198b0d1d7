"""What intake answers, and what its OpenAPI says of bodies that have no fixed form."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from tracking_pipeline.web.answers import ERRORS
from tracking_pipeline.web.errors import ErrorAnswer


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
    located: bool = Field(False, description="Its place is known already.")
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
