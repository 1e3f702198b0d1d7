"""An event in its destination's form, whatever the event is: for all who ask a destination."""

from __future__ import annotations

import logging

from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import NotSent, reject
from tracking_pipeline.delivery.failures import Failure

log = logging.getLogger(__name__)


def prepare(destination: Destination, event: FailedEvent) -> Prepared | NotSent:
    """What the destination makes of the event. A bug in reading one payload must not stop its
    neighbours: such an event is parked, where it can be replayed once the bug is mended."""
    try:
        return destination.prepare(event)
    except Exception as error:  # whatever it is: the event stays, as a dead letter
        # orjson's error is a plain TypeError; only its words tell the depth from a bug of ours.
        if isinstance(error, RecursionError) or "Recursion limit" in str(error):
            return reject("event_payload is nested too deeply", Failure.EVENT_UNREADABLE)
        log.warning("an event cannot be prepared: %s", type(error).__name__)
        return reject(f"cannot be prepared: {type(error).__name__}", Failure.PREPARATION_FAILED)
