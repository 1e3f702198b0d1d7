"""What is read from a stored event, and what would become of it:
``GET /functions/v1/admin-explain?id=...``. Nothing is sent and nothing is changed.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import orjson
import psycopg
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.explain import EventExplained, Explanation, explain_id
from tracking_pipeline.web.answers import Text
from tracking_pipeline.web.context import Admin, Context, WebContext
from tracking_pipeline.web.errors import ApiError, ErrorAnswer
from tracking_pipeline.web.security.access import Principal
from tracking_pipeline.wiring.destinations import preparing_destinations, reading_rules

explain_router = APIRouter(tags=["events"])

LONGEST_ID = 500


class ExplainAnswer(BaseModel):
    """The events that an id names, the newest first, with personal data masked."""

    success: Literal[True] = True
    events: list[EventExplained]
    more: bool = Field(description="There are more events than these.")
    all_searched: bool = Field(
        description="False: an order's id was looked for in the newest rows only."
    )
    rehearsal: bool = Field(description="The destinations are those of a rehearsal.")


@explain_router.get(
    "/admin-explain",
    response_model=ExplainAnswer,
    responses={404: {"model": ErrorAnswer, "description": "Nothing has this id."}},
)
async def explain(
    request: Request,
    context: Context,
    admin: Admin,
    id: Annotated[
        Text,
        Query(
            min_length=1,
            max_length=LONGEST_ID,
            description="Of a row, an event (any text), an order or a lead.",
        ),
    ],
    destination: Annotated[
        DestinationName | None, Query(description="Only what this one would get.")
    ] = None,
) -> Response:
    """What is read from an event and what each destination would get, with its attempts."""
    found = await explained(context, request, admin, id, destination)
    if not found.events:
        where = "" if found.all_searched else "; orders were looked for in the newest rows only"
        raise ApiError(404, f"no event, order or lead has this id{where}")
    answer = found.as_json(rehearsal=context.installation.database.rehearsal)
    # The very bytes that the command line gives.
    return Response(orjson.dumps(answer), media_type="application/json")


async def explained(
    context: WebContext,
    request: Request,
    admin: Principal,
    wanted: str,
    only: DestinationName | None = None,
) -> Explanation:
    """The same for a page: put on record first, then read."""
    settings, rehearsal = context.settings, context.installation.database.rehearsal

    def read(connection: psycopg.Connection) -> Explanation:
        made = preparing_destinations(settings, rehearsal=rehearsal)
        asked = [each for each in made if only is None or each.name == only]
        return explain_id(connection, wanted, asked, reading_rules(settings, rehearsal=rehearsal))

    # An id may be anything a sender wrote: what is recorded is the uuid that stands for it.
    await context.audit(request, admin, "explain", "done", id=str(_recorded(wanted)))
    return await context.query(read)


def _recorded(wanted: str) -> UUID:
    return ledger_event_id(wanted.strip())
