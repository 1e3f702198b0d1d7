"""What a request that runs a job is answered with: the run's result, or where to ask for it; and
the last runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from tracking_pipeline.defs.instance.runs import RunError
from tracking_pipeline.store.dagster_runs import PastRun
from tracking_pipeline.web.context import Context, WebContext
from tracking_pipeline.web.errors import RETRY_AFTER_SECONDS, ApiError, ErrorAnswer, unavailable
from tracking_pipeline.web.run_desk import DeskFullError, DeskRun
from tracking_pipeline.web.run_process import Answer, RunOrder
from tracking_pipeline.web.security.access import Principal

RUNS_PATH = "/functions/v1/runs"


class RunUnderWay(BaseModel):
    """The run takes longer than an answer should. ``status_url`` tells its result when it ends."""

    success: bool = Field(True, description="Always true: the run has begun.")
    ok: bool = Field(True, description="The same, for the existing dashboard.")
    run_id: str = Field(description="The run, also in the Dagster UI.")
    status: str = Field(description="`STARTED`.")
    status_url: str = Field(description="Where to ask for the result: the `Location` header too.")
    joined: bool = Field(description="It was under way already, and this request began nothing.")


class Run(BaseModel):
    """One run of a job, whoever began it."""

    run_id: str = Field(description="The run, also in the Dagster UI.")
    job: str = Field(description="The name of its job.")
    status: str = Field(description="As Dagster has it: `STARTED`, `SUCCESS`, `FAILURE`, ...")
    started_at: float | None = Field(None, description="Unix seconds; null before its start.")
    seconds: float | None = Field(None, description="How long it took; null until its end.")
    result: dict[str, Any] | None = Field(
        None, description="What it gave; null where it has not ended or another process ran it."
    )
    error: str | None = Field(None, description="Why it failed, in one line.")


class Runs(BaseModel):
    """The last runs, newest first."""

    runs: list[Run]


RUN_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"model": RunUnderWay, "description": "The run goes on; `Location` tells its result."},
    429: {"model": ErrorAnswer, "description": "Too many runs are under way."},
}


async def run_and_answer(
    context: WebContext,
    request: Request,
    admin: Principal,
    order: RunOrder,
    *,
    action: str,
    detail: Mapping[str, Any] = MappingProxyType({}),
    complete: Callable[[Answer], Answer] = lambda answer: answer,
) -> JSONResponse:
    """Runs what is ordered, or joins the run that does it already. The answer is the run's own,
    ``complete``d, with ``run_id`` and ``joined``; or 202 where it takes longer than a few seconds.
    ``action`` and ``detail`` are for the record."""

    async def record(run_id: str, joined: bool) -> None:
        outcome = "joined" if joined else "started"
        await context.audit(request, admin, action, outcome, run_id=run_id, **detail)

    desk = context.runs
    try:
        run, joined = await desk.join_or_start(order, record)
        answer = await run.answer(desk.wait_seconds)
    except DeskFullError:
        retry_after = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        raise ApiError(429, "too many runs are under way", headers=retry_after) from None
    except RunError as error:
        raise unavailable(str(error)) from None
    if answer is not None:
        told = {**complete(answer), "run_id": run.run_id, "joined": joined}
        return JSONResponse(jsonable_encoder(told))
    status_url = f"{RUNS_PATH}/{run.run_id}"
    under_way = RunUnderWay(
        run_id=run.run_id, status="STARTED", status_url=status_url, joined=joined
    )
    return JSONResponse(under_way.model_dump(), status_code=202, headers={"Location": status_url})


def run_of_past(past: PastRun) -> Run:
    """A run as Dagster's storage has it."""
    return Run(
        run_id=past.run_id,
        job=past.job,
        status=past.status,
        started_at=past.started_at,
        seconds=past.seconds,
    )


def with_result(run: Run, of_desk: DeskRun) -> Run:
    """The run with what it gave this server, where it has ended."""
    if not of_desk.done.done():
        return run
    error = of_desk.done.exception()
    if error is not None:
        return run.model_copy(update={"error": str(error)})
    return run.model_copy(update={"result": jsonable_encoder(of_desk.done.result())})


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
