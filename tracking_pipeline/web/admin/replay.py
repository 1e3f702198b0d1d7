"""Dead letters: how many there are and why, and back into the queue with those that are cured."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import dagster as dg
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from tracking_pipeline.defs.delivery.replay import (
    MOST_CANARIES,
    MOST_EVENTS_PER_MINUTE,
    MOST_IDS,
    ReplayConfig,
    replay_dead_letters_job,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName, DestinationOrAll
from tracking_pipeline.store.dead_letters import DeadLetters, read_groups
from tracking_pipeline.web.admin.runs import RUN_RESPONSES, run_and_answer
from tracking_pipeline.web.answers import Moment, Text
from tracking_pipeline.web.context import Admin, Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.middleware import JsonRoute
from tracking_pipeline.web.run_process import RunOrder, replay_answer

replay_router = APIRouter(tags=["dead letters"], route_class=JsonRoute)

SINCE = "Dead letters of this day or moment, or later; in UTC where it names no zone."
UNTIL = "Dead letters of before this day or moment; in UTC where it names no zone."
ShortText = Annotated[Text, Field(max_length=500)]


class DeadLetterGroup(BaseModel):
    """The dead letters of one destination that have one reason."""

    model_config = ConfigDict(from_attributes=True)

    destination: str
    reason: str
    matched: int = Field(description="So many dead letters.")
    delivered: int = Field(
        description="Those of them whose event the destination has from another row already."
    )


class DeadLetterGroups(BaseModel):
    """Dead letters by destination and reason, the most frequent first."""

    groups: list[DeadLetterGroup]
    total: int = Field(description="All of them together.")


class DeadLetterFilters(BaseModel):
    """Which dead letters. What is left out does not narrow."""

    destination: DestinationName | None = None
    reason: ShortText = Field("", description="What the reason has in it.")
    error_code: ShortText = ""
    event_name: ShortText = ""
    since: Moment = Field(None, description=SINCE)
    until: Moment = Field(None, description=UNTIL)


class ReplayBody(BaseModel):
    """Which dead letters, and how. What is left out does not narrow."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(True, description="Count and forecast only. False puts them back.")
    destination: DestinationOrAll = "all"
    reason: ShortText = Field("", description="What the reason has in it.")
    reason_match: Literal["contains", "exact"] = "contains"
    error_code: ShortText = ""
    event_name: ShortText = ""
    since: Moment = Field(None, description=SINCE)
    until: Moment = Field(None, description=UNTIL)
    ids: list[UUID] = Field([], max_length=MOST_IDS, description="Ids of rows or of events.")
    after_pause: bool = Field(
        False, description="Only those that a pause caused which is over since."
    )
    with_waiting: bool = Field(
        False, description="Also what waits to be sent again: it gets its turn among them."
    )
    events_per_minute: int = Field(
        0, ge=0, le=MOST_EVENTS_PER_MINUTE, description="0: half of the live rate, 10 to 600."
    )
    canary: int = Field(3, ge=0, le=MOST_CANARIES, description="So many of each group go first.")
    repair: Annotated[Text, Field(max_length=20_000)] = Field(
        "", description="Rules that change each payload first, as YAML or JSON."
    )

    def config(self) -> dict[str, Any]:
        """The same as the job's configuration."""
        found = self.model_dump(mode="json")
        return {**found, "since": found["since"] or "", "until": found["until"] or ""}


class ReplayAnswer(BaseModel):
    """What the replay did, in events; a dry run says what it would do."""

    model_config = ConfigDict(extra="allow")

    success: bool = Field(description="The run came to its end.")
    dry_run: bool
    matched: int = Field(description="Dead letters that the filters found.")
    replayed: int = Field(description="Put back into the queue; 0 in a dry run.")
    by_reason: dict[str, int] = Field(description="The matched ones by reason.")
    run_id: str = Field(description="The run, also in the Dagster UI.")
    joined: bool = Field(description="The run was under way already.")


@replay_router.get("/admin-dead-letters", response_model=DeadLetterGroups)
async def list_dead_letters(
    context: Context, filters: Annotated[DeadLetterFilters, Query()]
) -> DeadLetterGroups:
    """Dead letters by destination and reason."""
    wanted = DeadLetters(
        destinations=(filters.destination,) if filters.destination else (),
        reason=filters.reason,
        error_code=filters.error_code,
        event_name=filters.event_name,
        since=filters.since,
        until=filters.until,
    )
    groups = await context.query(lambda connection: read_groups(connection, wanted))
    return DeadLetterGroups(
        groups=[DeadLetterGroup.model_validate(group) for group in groups],
        total=sum(group.matched for group in groups),
    )


@replay_router.post(
    "/admin-replay-dead-letters", response_model=ReplayAnswer, responses=RUN_RESPONSES
)
async def replay_dead_letters(
    request: Request, context: Context, admin: Admin, body: ReplayBody | None = None
) -> JSONResponse:
    """Put dead letters back into the queue: one run of `replay_dead_letters_job`.

    Without a body it is a dry run over all of them.
    """
    wanted = body or ReplayBody()
    config = wanted.config()
    try:
        ReplayConfig(**config).request()
    except dg.Failure as refused:
        raise ApiError(422, refused.description or "the request cannot be used") from None
    order = RunOrder(
        replay_dead_letters_job.name, {"replay_dead_letters": {"config": config}}, replay_answer
    )
    # Rules may hold what an operator typed for a person; the run shows them, the audit need not.
    said = wanted.model_dump(mode="json", exclude={"repair"}, exclude_defaults=True)
    detail = {"dry_run": wanted.dry_run, "repair": bool(wanted.repair), "filters": said}
    return await run_and_answer(context, request, admin, order, action="replay", detail=detail)
