"""What needs a human, read from the tables: the answer of ``tracking-pipeline status``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tracking_pipeline.delivery.events import DESTINATIONS
from tracking_pipeline.installation import Installation
from tracking_pipeline.runs import PastRun
from tracking_pipeline.store.alerts import OpenAlert, read_open_alerts
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.destination_state import DestinationState, read_destination_states
from tracking_pipeline.store.failed_events import Waiting, count_dead_letters, read_waiting


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """One destination: ``state`` is ``ok``, ``paused``, ``throttled`` or ``not_configured``, and
    ``detail`` says what to do about it."""

    state: str
    detail: str
    waiting: Waiting


@dataclass(frozen=True, slots=True)
class Status:
    """The whole picture."""

    database: str
    rehearsal: bool
    destinations: dict[str, DestinationStatus]
    dead_letters: list[tuple[str, str, int]]
    alerts: list[OpenAlert]
    last_runs: list[PastRun]

    def as_json(self) -> dict[str, Any]:
        """The command's JSON."""
        waiting = [each.waiting for each in self.destinations.values()]
        return {
            "success": True,
            "database": self.database,
            "rehearsal": self.rehearsal,
            "destinations": {
                name: {
                    "state": each.state,
                    "detail": each.detail,
                    **{k: v for k, v in asdict(each.waiting).items() if k != "destination"},
                }
                for name, each in self.destinations.items()
            },
            "queue": {
                "waiting": sum(each.waiting for each in waiting),
                "due": sum(each.due for each in waiting),
                "leased": sum(each.leased for each in waiting),
                "dead_letters": sum(each.dead_letters for each in waiting),
                "dead_letters_by_reason": [
                    {"destination": destination, "reason": reason, "count": count}
                    for destination, reason, count in self.dead_letters
                ],
            },
            "alerts": [
                {**asdict(alert), "created_at": alert.created_at.isoformat()}
                for alert in self.alerts
            ],
            "last_runs": [asdict(run) for run in self.last_runs],
        }


def read_status(installation: Installation, runs: list[PastRun]) -> Status:
    """The status of the installation. ``runs`` come from Dagster's own storage."""
    with connect(installation.database.url) as connection:
        waiting = {each.destination: each for each in read_waiting(connection)}
        states = read_destination_states(connection)
        missing = installation.missing_settings()
        return Status(
            database=installation.database.label,
            rehearsal=installation.database.rehearsal,
            destinations={
                name: _destination_status(
                    waiting.get(name, Waiting(name, 0, 0, 0, None, None, 0)),
                    states.get(name, DestinationState(name)),
                    missing.get(name),
                )
                for name in DESTINATIONS
            },
            dead_letters=count_dead_letters(connection),
            alerts=read_open_alerts(connection),
            last_runs=runs,
        )


def _destination_status(
    waiting: Waiting, state: DestinationState, missing: str | None
) -> DestinationStatus:
    if missing is not None:
        return DestinationStatus("not_configured", missing, waiting)
    if state.state != "closed":
        probe = f"; next probe in {state.probe_in_seconds:.0f} s"
        return DestinationStatus("paused", (state.reason or "") + probe, waiting)
    if state.throttled_seconds > 0:
        return DestinationStatus(
            "throttled", f"asked to wait {state.throttled_seconds:.0f} s more", waiting
        )
    return DestinationStatus("ok", "", waiting)
