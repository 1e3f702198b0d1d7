"""All that an admin may ask of the API. The token is asked for here: no endpoint can forget it."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from tracking_pipeline.web.access import require_admin
from tracking_pipeline.web.alerts_api import alerts_router
from tracking_pipeline.web.answers import ERRORS
from tracking_pipeline.web.check_api import check_router
from tracking_pipeline.web.replay_api import replay_router
from tracking_pipeline.web.retry_api import retry_router
from tracking_pipeline.web.runs_api import runs_router
from tracking_pipeline.web.tracking_health import tracking_health_router

admin_router = APIRouter(
    prefix="/functions/v1", dependencies=[Depends(require_admin)], responses=ERRORS
)
for _router in (
    retry_router,
    replay_router,
    tracking_health_router,
    check_router,
    alerts_router,
    runs_router,
):
    admin_router.include_router(_router)
