"""What Dagster's instance remembers of our schedules, sensors and daemons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import takewhile

import dagster as dg
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    TickStatus,
)
from dagster._utils.schedules import cron_string_iterator

from tracking_pipeline.health.readings.automation import Automation, AutomationReading

# Of a sensor that ticks every 30 seconds: the last two minutes and a half.
_TICKS = 6
# Those whose silence stops our work. Others, such as that of backfills, have nothing to do here.
_DAEMONS = ("QUEUED_RUN_COORDINATOR", "SCHEDULER", "SENSOR")


def read_automation(instance: dg.DagsterInstance) -> AutomationReading:
    """The schedules and sensors of this code location that are on and have ticked, and the
    daemons' heartbeats. Some short queries of Dagster's storage."""
    if instance.schedule_storage is None:  # an instance of one process, as tests have it
        return AutomationReading(datetime.now(timezone.utc))
    beats = instance.get_daemon_heartbeats()
    # The daemon notes every one that is on.
    running = [
        state
        for state in instance.all_instigator_state()
        if state.status is not InstigatorStatus.STOPPED
    ]
    return AutomationReading(
        at=datetime.now(timezone.utc),
        automations=tuple(_automations(instance, running)) if running else (),
        daemons={name: _moment(beats[name].timestamp) for name in _DAEMONS if name in beats},
    )


def _automations(
    instance: dg.DagsterInstance, running: Sequence[InstigatorState]
) -> Iterator[Automation]:
    # The definitions load this module's importer.
    from tracking_pipeline.definitions import defs  # noqa: PLC0415

    ours = {
        each.name: each
        for each in (*(defs.sensors or ()), *(defs.schedules or ()))
        if isinstance(each, dg.SensorDefinition | dg.ScheduleDefinition)
    }
    newest: dict[str, Sequence[InstigatorTick]] = {}
    # The same one may be there several times: a code location that is served from another place has
    # another origin.
    for state in running:
        if state.instigator_name not in ours:
            continue
        ticks = instance.get_ticks(state.origin.get_id(), state.selector_id, limit=_TICKS)
        known = newest.get(state.instigator_name)
        if ticks and (known is None or ticks[0].timestamp > known[0].timestamp):
            newest[state.instigator_name] = ticks
    for name, ticks in sorted(newest.items()):
        # One that is under way has not failed, and has not ended the failures before it.
        ended = [tick for tick in ticks if tick.status is not TickStatus.STARTED]
        failed = list(takewhile(lambda tick: tick.status is TickStatus.FAILURE, ended))
        error = failed[0].error if failed else None
        yield Automation(
            name,
            [_moment(tick.timestamp) for tick in ticks],
            _due_at(ours[name], ticks[0].timestamp),
            len(failed),
            (error.cls_name or "") if error else "",
        )


def _due_at(one: dg.SensorDefinition | dg.ScheduleDefinition, last: float) -> datetime:
    if isinstance(one, dg.SensorDefinition):
        return _moment(last) + timedelta(seconds=one.minimum_interval_seconds or 0)
    cron = one.cron_schedule if isinstance(one.cron_schedule, str) else one.cron_schedule[0]
    return next(cron_string_iterator(last + 1, cron, one.execution_timezone))


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.utc)
