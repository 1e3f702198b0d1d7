"""Alerts: which there are, and what an operator does about them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import psycopg
from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from tracking_pipeline.health.alerts.actions import AlertAction, AlertActions, act_on_alerts
from tracking_pipeline.health.metrics import AlertType, alert_types
from tracking_pipeline.store.admins import AdminAction, record_action
from tracking_pipeline.store.alerts import read_open_alerts, read_resolved_alerts
from tracking_pipeline.web.answers import Text
from tracking_pipeline.web.context import Admin, Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.middleware import JsonRoute
from tracking_pipeline.wiring.health import health_config

alerts_router = APIRouter(tags=["alerts"], route_class=JsonRoute)

# A silence that outlives everybody's memory of it would be an alert less.
LONGEST_SILENCE_HOURS = 24 * 30


def _known(name: str) -> AlertType:
    if name not in alert_types():
        raise ValueError(f"must be one of {', '.join(alert_types())}")
    return name


KnownAlertType = Annotated[
    AlertType,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": list(alert_types())}),
]


class Alert(BaseModel):
    """One episode of a metric on the wrong side of a threshold."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    alert_type: str
    severity: str = Field(description="`warning` or `critical`.")
    message: str
    metric_value: float | None = Field(description="The value at the last check, in its own unit.")
    threshold: float | None
    created_at: datetime | None
    acknowledged_at: datetime | None = Field(description="Since when somebody is on it.")
    acknowledged_by: str | None
    silenced_until: datetime | None = Field(description="Nothing is told of it until then.")
    resolved_at: datetime | None = Field(description="Null while it is open.")
    resolved_by: str | None = Field(description="Null where it ended by itself.")
    note: str | None


class Alerts(BaseModel):
    """Open alerts, critical ones first; then those that ended last."""

    alerts: list[Alert]


class AlertBody(BaseModel):
    """Which open alerts, by type or id; at least one must be named."""

    model_config = ConfigDict(extra="forbid")

    types: list[KnownAlertType] = Field([], max_length=50)
    ids: list[UUID] = Field([], max_length=50)
    note: Annotated[Text, Field(max_length=1000)] | None = Field(
        None, description="Shown with the alert. No personal data."
    )


class SilenceBody(AlertBody):
    """Which alerts; a type can be silenced before it has one."""

    hours: float = Field(
        ge=0, le=LONGEST_SILENCE_HOURS, allow_inf_nan=False, description="0 ends a silence."
    )


class AlertActionAnswer(BaseModel):
    """What became of what was named."""

    success: bool = Field(True, description="Always true.")
    changed: list[str] = Field(description="The types of alert that were acted on.")
    not_open: list[str] = Field(description="Those named that have no open alert.")


@alerts_router.get("/alerts", response_model=Alerts)
async def show_alerts(
    context: Context,
    resolved: Annotated[int, Query(ge=0, le=200, description="So many that have ended.")] = 20,
) -> Alerts:
    """The open alerts, and the last ones that ended."""
    rows = await context.query(
        lambda connection: [
            *read_open_alerts(connection),
            *read_resolved_alerts(connection, resolved),
        ]
    )
    return Alerts(alerts=[Alert.model_validate(row) for row in rows])


@alerts_router.post("/alerts/acknowledge", response_model=AlertActionAnswer)
async def acknowledge(
    request: Request, context: Context, admin: Admin, body: AlertBody
) -> AlertActionAnswer:
    """Somebody is on it: no reminders until it ends or worsens."""
    return await _act(request, context, admin, "acknowledge", body)


@alerts_router.post("/alerts/resolve", response_model=AlertActionAnswer)
async def resolve(
    request: Request, context: Context, admin: Admin, body: AlertBody
) -> AlertActionAnswer:
    """End it by hand; a metric that is still bad begins another at the next check."""
    return await _act(request, context, admin, "resolve", body)


@alerts_router.post("/alerts/silence", response_model=AlertActionAnswer)
async def silence(
    request: Request, context: Context, admin: Admin, body: SilenceBody
) -> AlertActionAnswer:
    """No message of these types for so long; the alerts go on."""
    return await _act(request, context, admin, "silence", body, hours=body.hours)


async def _act(
    request: Request,
    context: Context,
    admin: Admin,
    action: AlertAction,
    body: AlertBody,
    *,
    hours: float = 0.0,
) -> AlertActionAnswer:
    if not body.types and not body.ids:
        raise ApiError(422, "types or ids must name at least one alert")
    config = health_config(context.settings)
    remote = context.client_address(request)

    def work(connection: psycopg.Connection[Any]) -> AlertActions:
        # One transaction: what is done is on record, and what is on record is done.
        with connection.transaction():
            done = act_on_alerts(
                connection,
                action,
                config,
                types=body.types,
                ids=body.ids,
                by=admin.actor,
                silence_hours=hours,
                note=body.note,
            )
            detail: dict[str, Any] = {"changed": done.changed, "not_open": done.not_open}
            if action == "silence":
                detail["hours"] = hours
            record_action(
                connection, AdminAction(admin.actor, f"alerts: {action}", "done", detail, remote)
            )
            return done

    done = await context.query(work)
    return AlertActionAnswer(changed=list(done.changed), not_open=list(done.not_open))
