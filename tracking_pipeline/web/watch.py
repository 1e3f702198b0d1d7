"""What ``serve`` watches by itself, whoever else is at work: that its embedded database lives, that
health checks come, and that somebody sends the messages of alerts.

The Dagster daemon does the last two while it lives, and cannot tell that it does not. The processes
of the server's own runs need no watch: one that dies is told by its run, and the template that they
are forked from is started again with the next run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import psycopg

from tracking_pipeline.health.alerts.heartbeat import Heartbeat, watch_heartbeat
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.notifications.notify import deliver_notifications
from tracking_pipeline.store.alert_notifications import read_outbox
from tracking_pipeline.store.database import DatabaseError, connect
from tracking_pipeline.wiring.health import channels_from, health_config
from tracking_pipeline.wiring.installation import Installation, revive_embedded_server

# One look at the end of an index, and one at the few open rows of the outbox.
LOOK_SECONDS = 15.0
# A daemon that lives has begun to send by then.
OVERDUE_SECONDS = 60.0
# A channel that hangs keeps the server from ending for no longer.
SEND_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass
class Watch:
    """One server's. It has waited for checks since it began."""

    installation: Installation
    _began_at: float = field(default_factory=time.monotonic)

    @property
    def waited_seconds(self) -> float:
        return time.monotonic() - self._began_at

    def look(self) -> Heartbeat:
        """Starts the embedded database again where it was killed, raises ``pipeline_stalled`` where
        checks do not come, and sends what nobody sends. :class:`DatabaseError` or
        ``psycopg.Error`` where it cannot look."""
        settings = self.installation.settings
        revive_embedded_server(settings.home)
        with connect(self.installation.database.url) as connection:
            config = health_config(settings)
            heartbeat = watch_heartbeat(connection, config, waited_seconds=self.waited_seconds)
            is_late = _is_late(connection, config, heartbeat)
        if is_late:
            deliver_notifications(
                self.installation.database,
                channels_from(settings),
                send_seconds=SEND_SECONDS,
            )
        return heartbeat


def _is_late(
    connection: psycopg.Connection[Any], config: HealthConfig, heartbeat: Heartbeat
) -> bool:
    """Whether a message waits that nobody seems to send."""
    overdue = read_outbox(connection, config.channels).overdue_seconds
    return overdue is not None and (heartbeat.is_stalled or overdue > OVERDUE_SECONDS)


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[None]:
    """Looks every :data:`LOOK_SECONDS` for the time of the block."""
    task = asyncio.create_task(_look_forever(watch))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _look_forever(watch: Watch) -> None:
    while True:
        try:
            await anyio.to_thread.run_sync(watch.look, abandon_on_cancel=True)
        except (DatabaseError, psycopg.Error):
            pass  # /healthz says so, and the next look is soon
        except Exception as error:  # whatever it is, the next look may see more
            log.warning("health checks cannot be watched (%s)", type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
