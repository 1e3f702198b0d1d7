"""``POST /functions/v1/check-tracking-health``: one health check on demand, for cron and for the
webhooks of monitoring systems.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from tracking_pipeline.defs.health.check import CHECKED, answer_of, check_tracking_health_job
from tracking_pipeline.web.admin.run_answers import RUN_RESPONSES, run_and_answer
from tracking_pipeline.web.context import Admin, Context
from tracking_pipeline.web.runs.process import RunOrder

check_router = APIRouter(tags=["health"])


class CheckMetrics(BaseModel):
    """The values of the check; null where there was no data."""

    emq_score: float | None = Field(description="Estimated Event Match Quality, 0 to 10.")
    queue_depth: int = Field(description="Failed events that wait.")
    error_rate: float | None = Field(description="Percent of events that failed.")
    geo_coverage: float | None = Field(description="Percent of new leads with a whole place.")


class CheckAnswer(BaseModel):
    """What the check found: the keys of `tracking-pipeline check --json`."""

    model_config = ConfigDict(extra="allow")

    success: bool = Field(description="The check came to its end, whatever it found.")
    status: str = Field(description="`healthy`, `degraded` or `critical`.")
    reason: str = Field(description="What makes it so.")
    metrics: CheckMetrics
    alerts_created: int = Field(description="Alerts that this check opened.")
    alerts_resolved: int = Field(description="Alerts that this check ended.")
    active_alerts: list[dict[str, Any]] = Field(description="All open alerts, critical first.")
    run_id: str = Field(description="The run, also in the Dagster UI.")
    joined: bool = Field(description="The run was under way already.")


@check_router.post("/check-tracking-health", response_model=CheckAnswer, responses=RUN_RESPONSES)
async def check_tracking_health(request: Request, context: Context, admin: Admin) -> JSONResponse:
    """Check tracking's health: one run of `check_tracking_health_job`, without its report. A breach
    is a result."""
    # Without the report, which takes longer than somebody waits.
    order = RunOrder(check_tracking_health_job.name, {}, answer_of, assets=tuple(CHECKED))
    return await run_and_answer(context, request, admin, order, action="check")
