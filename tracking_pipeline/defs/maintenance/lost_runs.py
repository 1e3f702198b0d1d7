"""``lost_runs_sensor``: a run whose process is gone is ended within two minutes, and one that a
broker has lost is sent again.
"""

from typing import Protocol, runtime_checkable

import dagster as dg

from tracking_pipeline.defs.instance.heartbeat import end_lost_runs


@runtime_checkable
class SendsAgain(Protocol):
    """A run launcher whose messages may get lost (``instance/celery_runs.py``)."""

    def send_waiting_runs_again(self) -> list[str]: ...


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process or machine has died, so that they block "
    "nothing: every run sends a heartbeat every 10 seconds, and one without a "
    "heartbeat for a minute is dead. If a broker distributes runs, those that no "
    "worker executes are submitted again. It launches no run. If it is off, retries "
    "wait up to ten minutes for each dead run.",
)
def lost_runs_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    found = end_lost_runs(context.instance)
    for run_id in found.ended:
        context.log.warning(f"run {run_id} was ended: its process is gone")
    words = [f"{len(found.ended)} lost runs ended, {len(found.missed)} silent"]
    launcher = context.instance.run_launcher
    if isinstance(launcher, SendsAgain):
        words.append(f"{len(launcher.send_waiting_runs_again())} waiting runs sent again")
    return dg.SkipReason(", ".join(words))
