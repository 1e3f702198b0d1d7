"""All that an admin may ask of the API. The token is asked for here: no endpoint can forget it."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from tracking_pipeline.web.admin.accounting import accounting_router
from tracking_pipeline.web.admin.alerts import alerts_router
from tracking_pipeline.web.admin.backfill import backfill_router
from tracking_pipeline.web.admin.explain import explain_router
from tracking_pipeline.web.admin.health import check_router, tracking_health_router
from tracking_pipeline.web.admin.replay import replay_router
from tracking_pipeline.web.admin.retry import retry_router
from tracking_pipeline.web.admin.runs import runs_router
from tracking_pipeline.web.answers import ERRORS
from tracking_pipeline.web.context import require_admin

admin_router = APIRouter(
    prefix="/functions/v1", dependencies=[Depends(require_admin)], responses=ERRORS
)
for _router in (
    retry_router,
    replay_router,
    backfill_router,
    tracking_health_router,
    accounting_router,
    check_router,
    explain_router,
    alerts_router,
    runs_router,
):
    admin_router.include_router(_router)
