"""The button "Retry": ``POST /functions/v1/admin-retry-failed-events``."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from tracking_pipeline.defs.delivery.retry import retry_failed_events_job
from tracking_pipeline.web.admin.runs import RUN_RESPONSES, run_and_answer
from tracking_pipeline.web.context import Admin, Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.middleware import JsonRoute
from tracking_pipeline.web.run_process import RunOrder, retry_answer

retry_router = APIRouter(tags=["delivery"], route_class=JsonRoute)

ONE_EVENT = "Only this event: its own id, or its row's. Need not be due."


class RetryBody(BaseModel):
    """Which failed events to send again."""

    model_config = ConfigDict(extra="forbid")

    event_id: UUID | None = Field(None, description=ONE_EVENT)
    eventId: UUID | None = Field(None, description="The same.")  # noqa: N815
    retryAll: bool = Field(  # noqa: N815  the dashboard's own name
        False,
        description="Also take events that still wait for their next try. Otherwise: what is due.",
    )


class EventsForReason(BaseModel):
    """Events of one destination and one reason."""

    destination: str
    reason: str
    count: int


class RetryAnswer(BaseModel):
    """What the run did, in events. `processed` = `resolved` + `failed` + `dead_lettered`; what was
    withheld or postponed was not processed."""

    success: bool = Field(description="The run came to its end, whatever became of the events.")
    ok: bool = Field(description="The same, for the existing dashboard.")
    processed: int = Field(description="Tried and settled.")
    resolved: int = Field(description="Delivered, or found to be there already.")
    failed: int = Field(description="Failed again; they wait for their next try.")
    dead_lettered: int = Field(description="Given up, each with its reason.")
    deadLettered: int = Field(  # noqa: N815  the dashboard's own name
        description="The same as `dead_lettered`, for the existing dashboard."
    )
    throttled: int = Field(description="Left waiting because the destination asked us to wait.")
    paused: int = Field(description="Left waiting because the destination refuses everybody.")
    withheld: int = Field(
        description="Settled without being sent: a person's refusal, or the site's own rule."
    )
    withheld_by_reason: list[EventsForReason] = Field(
        description="Those by destination and reason, the most frequent first."
    )
    warned: int = Field(
        description="Of the delivered ones: the destination warned, of a part that it ignores, say."
    )
    warned_by_kind: list[EventsForReason] = Field(
        description="Those by destination and kind of warning, the most frequent first."
    )
    unmatched: int = Field(
        description="Delivered by an earlier run: the destination found no click or person of its "
        "own for them. No failure."
    )
    unmatched_by_reason: list[EventsForReason] = Field(
        description="Those by destination and the destination's reason."
    )
    postponed: int = Field(description="Left waiting because their own time is still to come.")
    accepted_delivered: int = Field(
        description="Delivered at their first attempt; these were never failed events."
    )
    accepted_waiting: int = Field(description="Left waiting for their first attempt.")
    by_destination: dict[str, Any] = Field(description="The same numbers for each destination.")
    run_id: str = Field(description="The run, also in the Dagster UI.")
    joined: bool = Field(description="The run was under way already.")
    message: str = Field("", description="What a human should know of it; often empty.")


@retry_router.post(
    "/admin-retry-failed-events", response_model=RetryAnswer, responses=RUN_RESPONSES
)
async def retry_failed_events(
    request: Request,
    context: Context,
    admin: Admin,
    body: RetryBody | None = None,
    event_id: Annotated[UUID | None, Query(description=ONE_EVENT)] = None,
) -> JSONResponse:
    """Send failed events to their destinations again: one run of `retry_failed_events_job`.

    Whoever asks for the same while it is under way gets the same run.
    """
    wanted = body or RetryBody()
    named = {str(each) for each in (event_id, wanted.event_id, wanted.eventId) if each}
    if len(named) > 1:
        raise ApiError(422, "event_id names several events: send one request for each")
    config = {"selection": "all" if wanted.retryAll else "due", "event_id": "".join(named)}
    order = RunOrder(retry_failed_events_job.name, {"plan_retry": {"config": config}}, retry_answer)
    return await run_and_answer(
        context,
        request,
        admin,
        order,
        action="retry",
        detail=config,
        complete=_with_message_about_one if named else _with_message,
    )


# What became of an event that the run found; of a failed one, or of one at its first attempt.
_NUMBERS_OF_EVENTS = (
    *("processed", "throttled", "paused", "withheld", "postponed"),
    *("accepted_delivered", "accepted_waiting"),
)


def _with_message(totals: dict[str, Any]) -> dict[str, Any]:
    return {**totals, "message": ""}


def _with_message_about_one(totals: dict[str, Any]) -> dict[str, Any]:
    taken = any(totals[name] for name in _NUMBERS_OF_EVENTS)
    message = "no waiting event has this id, or another worker holds it"
    return {**totals, "message": "" if taken else message}
