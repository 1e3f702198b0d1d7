"""The last runs, and what became of one."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from tracking_pipeline.web.admin.run_answers import Run, Runs, run_of_past, with_result
from tracking_pipeline.web.context import Context
from tracking_pipeline.web.errors import ApiError, ErrorAnswer

runs_router = APIRouter(tags=["runs"])


@runs_router.get("/runs", response_model=Runs)
async def list_runs(context: Context, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Runs:
    """The last runs of all jobs, newest first."""
    return Runs(runs=[run_of_past(past) for past in await context.runs.last_runs(limit)])


@runs_router.get(
    "/runs/{run_id}",
    response_model=Run,
    responses={404: {"model": ErrorAnswer, "description": "There is no such run."}},
)
async def show_run(context: Context, run_id: UUID) -> Run:
    """One run; with its result, where this server ran it."""
    past = await context.runs.find_past(str(run_id))
    own = context.runs.find(str(run_id))
    if past is not None:
        run = run_of_past(past)
    elif own is not None:
        # A run stands in Dagster's storage a moment after it was begun.
        run = Run(run_id=own.run_id, job=own.job, status="NOT_STARTED")
    else:
        raise ApiError(404, "there is no such run")
    return run if own is None else with_result(run, own)
