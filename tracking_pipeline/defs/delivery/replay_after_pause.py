"""``replay_after_pause_sensor``: a pause that is over leaves dead letters that can be sent."""

import dagster as dg

from tracking_pipeline.defs.delivery.replay import ReplayConfig, replay_dead_letters_job
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.defs.windows import present_window
from tracking_pipeline.defs.words import number
from tracking_pipeline.store.database import connect
from tracking_pipeline.store.dead_letters import read_offers

# A pause that keeps coming back does not replay its dead letters each time.
REPLAY_WINDOW_SECONDS = 3600


@dg.sensor(
    job=replay_dead_letters_job,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks for dead letters whose destination was paused and takes events again. With "
    "REPLAY_AFTER_PAUSE it launches a replay of them, once an hour at most; without, it only says "
    "how many there are. A failed tick means that the database could not be reached.",
)
def replay_after_pause_sensor(
    context: dg.SensorEvaluationContext, tracking: TrackingResource
) -> dg.RunRequest | dg.SkipReason:
    with tracking.open() as installation, connect(installation.database.url) as connection:
        offers = read_offers(connection)
        window = present_window(connection, REPLAY_WINDOW_SECONDS)
        by_itself = installation.settings.replay_after_pause
    count = sum(group.matched - group.delivered for group in offers)
    if count == 0:
        return dg.SkipReason("0 dead letters of a pause that is over")
    destinations = ", ".join(sorted({group.destination for group in offers}))
    found = f"{number(count)} dead letters of a pause that is over ({destinations})"
    if not by_itself:
        return dg.SkipReason(
            f"{found}: launch replay_dead_letters_job with after_pause, or set REPLAY_AFTER_PAUSE"
        )
    context.log.info(found)
    config = ReplayConfig(dry_run=False, after_pause=True)
    return dg.RunRequest(
        run_key=f"after_pause:{window}",
        run_config=dg.RunConfig(ops={"replay_dead_letters": config}),
    )
