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
    description="Ends runs whose process is gone (killed, or its machine is), so that they hold up "
    "nothing: a run shows every 10 seconds that it lives, wherever it was started, and one that "
    "has been silent for a minute is marked as failed. Where runs are sent to workers by a broker, "
    "those that nobody executes are sent again. It launches nothing. Off: retries wait for dead "
    "runs, up to ten minutes each.",
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
