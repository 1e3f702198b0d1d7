"""What needs a human, read from the tables: what ``tracking-pipeline status`` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import psycopg

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, spec_of
from tracking_pipeline.delivery.engine.destination_check import answer_json
from tracking_pipeline.delivery.failures import remedy_of
from tracking_pipeline.geo.coverage import Suspicion, read_suspicion
from tracking_pipeline.health.alerts.heartbeat import watch_heartbeat
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.readings.causes import DeadLetterBatch, outlived_words
from tracking_pipeline.health.readings.queue import WithheldReading, batches_of, read_withheld
from tracking_pipeline.health.view.summary import HealthSummary, alert_json, read_summary
from tracking_pipeline.store.accepted_events import read_accepted_backlog
from tracking_pipeline.store.attempts import LastError, read_last_errors
from tracking_pipeline.store.database import Database, connect, read_now
from tracking_pipeline.store.dead_letters import read_offers
from tracking_pipeline.store.destination_checks import RecordedDestinationCheck, read_checks
from tracking_pipeline.store.destination_state import DestinationState, read_destination_states
from tracking_pipeline.store.health_readings import (
    DeliveryWarnings,
    count_delivery_warnings,
    count_outlived,
)
from tracking_pipeline.store.leads import LocateBacklog, read_locate_backlog
from tracking_pipeline.store.queue_counts import (
    Waiting,
    count_dead_letters,
    count_unclaimable,
    read_waiting,
)
from tracking_pipeline.store.table_growth import read_vacuum_advice

# So far back dead letters are counted that a longer horizon would have saved.
OUTLIVED_SINCE_DAYS = 7


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """One destination: ``state`` is ``ok``, ``paused``, ``throttled`` or ``not_configured``, and
    ``detail`` says what to do about it. ``next_try_seconds`` is the wait until something is sent
    again: 0 where events are due, None where nothing waits or nothing can be sent. ``failure`` is
    the public code of what paused it."""

    state: str
    detail: str
    waiting: Waiting
    next_try_seconds: float | None
    last_error: LastError | None
    first_attempts: int
    """Events taken in that wait for their first attempt; no failed events."""
    failure: str | None = None
    last_check: RecordedDestinationCheck | None = None
    """What it said when it was asked last whether events would get in."""


@dataclass(frozen=True, slots=True)
class GeoStatus:
    """Leads on their way to a place: ``new`` ones nobody has looked up, each counted no further
    than a thousand. ``warning`` says what is wrong with their addresses; ``missing`` what to do
    about a source of places that does not serve."""

    new: int
    waiting: int
    with_address_percent: float | None
    warning: str | None
    missing: dict[str, str]


@dataclass(frozen=True, slots=True)
class Status:
    """The whole picture. The reasons of dead letters are without personal data."""

    database: str
    rehearsal: bool
    health: HealthSummary
    destinations: dict[str, DestinationStatus]
    geo: GeoStatus
    unclaimable: int
    """Failed events without a status, or waiting without a destination: nothing sends them."""
    dead_letters: list[DeadLetterBatch]
    replayable: list[DeadLetterBatch]
    outlived: dict[str, int]
    """Dead letters of the last week that a longer horizon of retries would have saved, by
    destination."""
    withheld: WithheldReading
    warnings: DeliveryWarnings
    vacuum_advice: str | None
    """What to do where the queue's dead rows are cleared late."""

    def as_json(self) -> dict[str, Any]:
        """The command's JSON."""
        waiting = [each.waiting for each in self.destinations.values()]
        return {
            "success": True,
            "database": self.database,
            "rehearsal": self.rehearsal,
            "health": self.health.as_json(),
            "destinations": {
                name: {
                    "state": each.state,
                    "detail": each.detail,
                    "failure": each.failure,
                    "remedy": remedy_of(each.failure),
                    **{k: v for k, v in asdict(each.waiting).items() if k != "destination"},
                    "first_attempts": each.first_attempts,
                    "matchable_percent": _percent(self.health.parts("matchable").get(name)),
                    "next_try_seconds": each.next_try_seconds,
                    "last_error": _error_json(each.last_error),
                    "last_check": answer_json(each.last_check) if each.last_check else None,
                }
                for name, each in self.destinations.items()
            },
            "queue": {
                "waiting": sum(each.waiting for each in waiting),
                "due": sum(each.due for each in waiting),
                "leased": sum(each.leased for each in waiting),
                "dead_letters": sum(each.dead_letters for each in waiting),
                "unclaimable": self.unclaimable,
                "vacuum_advice": self.vacuum_advice,
                "dead_letters_by_reason": [_batch_json(each) for each in self.dead_letters],
                "replayable_after_pause": [_batch_json(each) for each in self.replayable],
                "saved_by_longer_horizon": [
                    {
                        "destination": name,
                        "count": count,
                        "setting": spec_of(name).variable("retry_horizon_hours"),
                        "detail": outlived_words(count, name),
                    }
                    for name, count in self.outlived.items()
                ],
            },
            "withheld": asdict(self.withheld),
            "warned_by_kind": [asdict(each) for each in self.warnings.warned],
            "unmatched_by_reason": [asdict(each) for each in self.warnings.unmatched],
            "geo": asdict(self.geo),
            "alerts": [alert_json(alert) for alert in self.health.alerts],
            "undelivered_alerts": [each.as_json() for each in self.health.silent_channels],
        }


def read_status(
    database: Database,
    config: HealthConfig,
    *,
    missing: Mapping[str, str],
    missing_geo: dict[str, str],
) -> Status:
    """The status. ``missing`` and ``missing_geo`` say what to set, by destination and by
    geolocation provider that is not configured. Where health checks no longer come, it raises the
    alert ``pipeline_stalled``: they cannot."""
    with connect(database.url) as connection:
        watch_heartbeat(connection, config)
        now = read_now(connection)
        return Status(
            database=database.label,
            rehearsal=database.rehearsal,
            health=read_summary(connection, now, config),
            destinations=read_destinations(connection, missing),
            geo=_geo_status(
                read_locate_backlog(connection), read_suspicion(connection), missing_geo
            ),
            unclaimable=count_unclaimable(connection),
            dead_letters=batches_of(count_dead_letters(connection)),
            replayable=batches_of(
                (group.destination, group.reason, group.matched - group.delivered, None)
                for group in read_offers(connection)
            ),
            outlived=count_outlived(
                connection, DESTINATIONS, now - timedelta(days=OUTLIVED_SINCE_DAYS), now
            ),
            withheld=read_withheld(connection),
            warnings=count_delivery_warnings(connection),
            vacuum_advice=read_vacuum_advice(connection),
        )


def read_destinations(
    connection: psycopg.Connection[Any], missing: Mapping[str, str]
) -> dict[str, DestinationStatus]:
    """How each destination stands. ``missing`` says for those that are not configured
    what to set."""
    waiting = {each.destination: each for each in read_waiting(connection)}
    states = read_destination_states(connection)
    errors = read_last_errors(connection, DESTINATIONS)
    accepted = read_accepted_backlog(connection, DESTINATIONS)
    checks = read_checks(connection)
    return {
        name: _destination_status(
            waiting.get(name, Waiting(name)),
            states.get(name, DestinationState(name)),
            missing.get(name),
            errors.get(name),
            accepted.get(name, 0),
            check=checks.get(name),
        )
        for name in DESTINATIONS
    }


def _destination_status(
    waiting: Waiting,
    state: DestinationState,
    missing: str | None,
    error: LastError | None,
    accepted: int,
    *,
    check: RecordedDestinationCheck | None,
) -> DestinationStatus:
    if missing is not None:
        return DestinationStatus(
            "not_configured", missing, waiting, None, error, accepted, last_check=check
        )
    held, name, detail, failure = 0.0, "ok", "", None
    if state.state != "closed":
        failure = state.failure_code
        held, name = state.probe_in_seconds, "paused"
        detail = f"{state.reason or ''}; next probe in {held:.0f} s"
    elif state.throttled_seconds > 0:
        held, name = state.throttled_seconds, "throttled"
        detail = f"asked to wait {held:.0f} s more"
    due_in = 0.0 if waiting.due or accepted else waiting.next_due_seconds
    next_try = None if due_in is None else max(due_in, held)
    return DestinationStatus(
        name, detail, waiting, next_try, error, accepted, failure, last_check=check
    )


def _geo_status(backlog: LocateBacklog, suspicion: Suspicion, missing: dict[str, str]) -> GeoStatus:
    warning = None
    if suspicion.few_have_an_address:
        warning = (
            f"only {suspicion.with_address_percent:.0f} % of the new leads have an address to look "
            "up: store the visitor's in leads.client_ip"
        )
    elif suspicion.looks_like_a_server:
        warning = (
            "the leads' addresses look like your own server's, not like visitors': see the check "
            "addresses_are_visitors of geo_coverage"
        )
    return GeoStatus(
        backlog.new,
        backlog.waiting,
        suspicion.with_address_percent,
        warning,
        missing,
    )


def _batch_json(batch: DeadLetterBatch) -> dict[str, Any]:
    return {
        "destination": batch.destination,
        "reason": batch.reason,
        "count": batch.events,
        "failure": batch.failure or None,
        "remedy": remedy_of(batch.failure),
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share, 1)


def _error_json(error: LastError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "outcome": error.outcome,
        "message": error.message,
        "at": error.attempted_at.isoformat(),
        "failure": error.failure_code,
        "remedy": remedy_of(error.failure_code),
        "platform_message": error.platform_message,
        "field_path": error.field_path,
        "trace_id": error.trace_id,
    }
