"""``resolve_alerts_job``: what an operator does about open alerts.

What fails a run: a database that cannot be used, a type or id that cannot be read. Alerts that are
not open any more do not: the metadata names them. What a second run does: the same, once more.
"""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import dagster as dg
import psycopg
from pydantic import Field

from tracking_pipeline.defs.metadata import AGAIN_FROM_THE_START, FIRST_IN_QUEUE, GROUP_TAG, table
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.health.alerts.actions import AlertActions, act_on_alerts
from tracking_pipeline.health.formatting import moment
from tracking_pipeline.health.metrics import AlertType, alert_types
from tracking_pipeline.store.alerts import AlertRow, read_open_alerts
from tracking_pipeline.store.database import connect
from tracking_pipeline.wiring.health import health_config

LONGEST_SILENCE_HOURS = 24 * 30


class ResolveConfig(dg.Config):
    """What to do, and to which alerts. Untouched, it lists the open ones and changes nothing."""

    action: Literal["list", "acknowledge", "silence", "resolve"] = Field(
        default="list",
        description="`list`: only show the open alerts. `acknowledge`: somebody is working on it; "
        "no reminders until it ends or gets worse. `silence`: no messages for a "
        "number of hours; the alert stays open. `resolve`: end it by hand; if the "
        "metric is still bad, the next check opens a new one.",
    )
    alert_types: list[str] = Field(
        default=[],
        description=f"Only alerts of these types: {', '.join(alert_types())}. Empty, and no ids: "
        "all that are open.",
    )
    alert_ids: list[str] = Field(
        default=[],
        description=(
            "Only these alerts, by their ids in tracking_health_alerts, as the list shows them."
        ),
    )
    by: str = Field(
        default="operator",
        description=(
            "Who does this. It is shown with the alert, so give a name or a team, not an "
            "e-mail address."
        ),
    )
    silence_hours: float = Field(
        default=4.0,
        description="For `silence`: the number of hours from now, 0 to 720. 0 ends a silence.",
    )
    note: str = Field(
        default="",
        description=(
            "The reason, for whoever looks next. It is stored with the alert, so it must "
            "not contain personal data."
        ),
    )

    def request(self) -> "AlertRequest":
        """The checked values. Raises ``dagster.Failure`` for one that cannot be used: the launchpad
        itself does not check them."""
        unknown = [name for name in self.alert_types if name not in alert_types()]
        if unknown:
            raise _refused(f"alert_types: {unknown[0]!r} is none of {', '.join(alert_types())}")
        if not 0 <= self.silence_hours <= LONGEST_SILENCE_HOURS:
            raise _refused(f"silence_hours must be 0 to {LONGEST_SILENCE_HOURS}")
        if not self.by.strip():
            raise _refused("by must say who does it")
        try:
            ids = tuple(UUID(each.strip()) for each in self.alert_ids)
        except ValueError:
            raise _refused("alert_ids must be uuids, as the list shows them") from None
        return AlertRequest(tuple(self.alert_types), ids)


@dataclass(frozen=True)
class AlertRequest:
    """Which alerts; neither types nor ids: all that are open."""

    types: tuple[AlertType, ...]
    ids: tuple[UUID, ...]


def _refused(why: str) -> dg.Failure:
    return dg.Failure(description=why, allow_retries=False)


@dg.op(
    description="Applies `action` to the chosen alerts, and shows which are open afterwards. "
    "Fails if the database cannot be used or a value is invalid; the error says which."
)
def act_on_open_alerts(
    context: dg.OpExecutionContext, config: ResolveConfig, tracking: TrackingResource
) -> AlertActions:
    request = config.request()
    done = AlertActions()
    with tracking.open() as installation, connect(installation.database.url) as connection:
        health = health_config(installation.settings)
        try:
            if config.action != "list":
                done = act_on_alerts(
                    connection,
                    config.action,
                    health,
                    types=request.types,
                    ids=request.ids,
                    by=config.by.strip(),
                    silence_hours=config.silence_hours,
                    note=config.note.strip() or None,
                )
            still_open = read_open_alerts(connection)
        except psycopg.Error as error:
            raise dg.Failure(
                f"the database failed (SQLSTATE {error.sqlstate or 'none'}): launch it again"
            ) from None
    context.log.info(f"{config.action}: {', '.join(done.changed) or 'nothing changed'}")
    for name in done.not_open:
        context.log.warning(f"{name}: no open alert")
    context.add_output_metadata(actions_metadata(done, still_open))
    return done


def actions_metadata(done: AlertActions, still_open: list[AlertRow]) -> dict[str, Any]:
    """What was done, and the alerts that are open afterwards."""
    return {
        **table("open", [_row(alert) for alert in still_open]),
        "changed": len(done.changed),
        "open_alerts": len(still_open),
        "changed_types": ", ".join(done.changed),
        "not_open": ", ".join(done.not_open),
    }


def _row(alert: AlertRow) -> dict[str, Any]:
    return {
        "id": str(alert.id),
        "type": alert.alert_type,
        "severity": alert.severity,
        "since": moment(alert.created_at),
        "acknowledged by": alert.acknowledged_by or "",
        "silenced until": moment(alert.silenced_until) if alert.silenced_until else "",
        "note": alert.note or "",
        "message": alert.message,
    }


@dg.job(
    description="Acknowledges, silences or resolves open alerts. Launched unchanged it lists them "
    "and changes nothing. Every action is recorded with the alert, under the name "
    "given in `by`.",
    config=dg.RunConfig(ops={"act_on_open_alerts": ResolveConfig()}),
    tags={
        GROUP_TAG: "alerts",
        **AGAIN_FROM_THE_START,
        **FIRST_IN_QUEUE,
        "dagster/max_runtime": "300",
    },
)
def resolve_alerts_job() -> None:
    act_on_open_alerts()
