"""The ledger's conversions, handed to a destination that never saw them."""

from __future__ import annotations

from typing import Any

import dagster as dg
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from tracking_pipeline.defs.delivery.backfill import (
    MOST_EVENTS_PER_MINUTE,
    BackfillConfig,
    backfill_destination_job,
)
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.web.admin.runs import RUN_RESPONSES, run_and_answer
from tracking_pipeline.web.answers import Moment
from tracking_pipeline.web.context import Admin, Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.middleware import JsonRoute
from tracking_pipeline.web.run_process import RunOrder, backfill_answer

backfill_router = APIRouter(tags=["backfill"], route_class=JsonRoute)


class BackfillBody(BaseModel):
    """Who gets which conversions."""

    model_config = ConfigDict(extra="forbid")

    destination: DestinationName = Field(description="Who is to get what it never saw.")
    dry_run: bool = Field(True, description="Count and forecast only. False hands over.")
    since: Moment = Field(
        None,
        description="Conversions that the ledger got at this day or moment, or later; none: as "
        "long ago as the destination takes them.",
    )
    until: Moment = Field(None, description="Conversions of before this day or moment.")
    events_per_minute: int = Field(
        0, ge=0, le=MOST_EVENTS_PER_MINUTE, description="0: half of the live rate, 10 to 600."
    )

    def config(self) -> dict[str, Any]:
        """The same as the job's configuration."""
        found = self.model_dump(mode="json")
        return {**found, "since": found["since"] or "", "until": found["until"] or ""}


class BackfillAnswer(BaseModel):
    """What the backfill did, in events; a dry run says what it would do."""

    model_config = ConfigDict(extra="allow")

    success: bool = Field(description="The run came to its end.")
    dry_run: bool
    matched: int = Field(description="Conversions that the destination has never seen.")
    would_hand_over: int = Field(description="Those of them that it would take.")
    handed_over: int = Field(description="Put into its queue; 0 in a dry run.")
    withheld: int = Field(description="Not handed over.")
    withheld_by_reason: dict[str, int] = Field(description="Those, and why.")
    run_id: str = Field(description="The run, also in the Dagster UI.")
    joined: bool = Field(description="The run was under way already.")


@backfill_router.post(
    "/admin-backfill-destination", response_model=BackfillAnswer, responses=RUN_RESPONSES
)
async def backfill_destination(
    request: Request, context: Context, admin: Admin, body: BackfillBody
) -> JSONResponse:
    """Hand ledger conversions to a destination: one run of `backfill_destination_job`."""
    config = body.config()
    try:
        BackfillConfig(**config).check()
    except dg.Failure as refused:
        raise ApiError(422, refused.description or "the request cannot be used") from None
    order = RunOrder(
        backfill_destination_job.name,
        {"backfill_destination": {"config": config}},
        backfill_answer,
    )
    detail = body.model_dump(mode="json", exclude_defaults=True)
    return await run_and_answer(context, request, admin, order, action="backfill", detail=detail)
