"""``GET /healthz``: for load balancers and uptime monitors.

Everybody may ask and learns one word. Why it is so is for admins.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from tracking_pipeline.health.alerts.heartbeat import Heartbeat, read_heartbeat
from tracking_pipeline.health.view.summary import SilentChannel, read_silent_channels
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline.store.migrate import is_migrated
from tracking_pipeline.web.context import Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.wiring.health import health_config

health_probe_router = APIRouter(tags=["monitoring"])

log = logging.getLogger(__name__)


class Probe(BaseModel):
    """How this server stands. The details are there for admins only."""

    status: Literal["ok", "degraded"] = Field(
        description="`degraded`: the database is away or not migrated (status 503), or health "
        "checks no longer come (status 200)."
    )
    database: bool | None = Field(None, description="Whether the database answers.")
    migrated: bool | None = Field(None, description="Whether its tables are this version's.")
    last_check_seconds: float | None = Field(None, description="How long ago the last check was.")
    undelivered_alerts: list[dict[str, Any]] | None = Field(
        None,
        description="Channels of ALERT_CHANNELS that did not take their last messages: position, "
        "fingerprint, since when, why.",
    )


@dataclass(frozen=True, slots=True)
class _Findings:
    database: bool
    migrated: bool = False
    heartbeat: Heartbeat = field(default_factory=lambda: Heartbeat(None))
    silent_channels: Sequence[SilentChannel] = ()

    @property
    def can_serve(self) -> bool:
        return self.database and self.migrated

    @property
    def is_ok(self) -> bool:
        return self.can_serve and not self.heartbeat.is_stalled


@health_probe_router.get(
    "/healthz",
    response_model=Probe,
    response_model_exclude_none=True,
    responses={503: {"model": Probe, "description": "This server cannot serve."}},
)
async def probe(request: Request, context: Context) -> JSONResponse:
    """Whether this server can serve, and whether health checks still come."""
    try:
        channels = health_config(context.settings).channels
        waited_seconds = context.watch.waited_seconds
        found = await context.query(lambda connection: _look(connection, channels, waited_seconds))
    except (DatabaseError, psycopg.Error):
        found = _Findings(database=False)
    answer = Probe(status="ok" if found.is_ok else "degraded")
    if found.database and await _asked_by_admin(request, context):
        answer.database, answer.migrated = found.database, found.migrated
        answer.last_check_seconds = found.heartbeat.seconds_since_check
        answer.undelivered_alerts = [each.as_json() for each in found.silent_channels]
    return JSONResponse(
        answer.model_dump(exclude_none=True), status_code=200 if found.can_serve else 503
    )


def _look(
    connection: psycopg.Connection[Any], channels: Mapping[str, int], waited_seconds: float
) -> _Findings:
    if not is_migrated(connection):
        return _Findings(database=True)
    return _Findings(
        database=True,
        migrated=True,
        heartbeat=read_heartbeat(connection, waited_seconds=waited_seconds),
        silent_channels=read_silent_channels(connection, channels),
    )


async def _asked_by_admin(request: Request, context: Context) -> bool:
    try:
        await context.access.admin(request)
    except ApiError:
        return False
    return True
