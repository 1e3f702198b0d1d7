"""What will become of a dead letter that is replayed, as far as that can be known without sending
it: the destination itself prepares the event, as of the moment at which it would be sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from tracking_pipeline.delivery.destinations.registry import spec_of
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured, prepare
from tracking_pipeline.delivery.engine.events import FailedEvent
from tracking_pipeline.delivery.engine.outcomes import Postponed, Rejected, Withheld
from tracking_pipeline.events.conversion import Conversion, read_conversion


@dataclass(frozen=True, slots=True)
class Forecast:
    """``sent``: it goes out. ``waits``: its destination takes none at present, and nothing is spent
    meanwhile; or the event's own time is still to come. ``withheld``: it is settled without a
    request. ``expired`` and ``refused``: it becomes a dead letter again without one. ``refusal``
    says why, of each of the three. ``may_count_twice``: the event may be there already, and is too
    old for its destination to see that.
    """

    outcome: Literal["sent", "waits", "withheld", "expired", "refused"]
    refusal: str = ""
    may_count_twice: bool = False


def forecast(
    event: FailedEvent, destination: Destination | NotConfigured | None, *, is_held: bool
) -> Forecast:
    """The forecast for an event whose ``now`` is the moment of its sending. ``is_held``: the
    destination is paused or throttled. None as destination: nothing is known of it."""
    if destination is None or isinstance(destination, NotConfigured):
        return Forecast("waits")
    not_sent = prepare(destination, event)
    if isinstance(not_sent, Withheld):
        return Forecast("withheld", not_sent.reason)
    if isinstance(not_sent, Rejected):
        expired = not_sent.reason == "expired"
        return Forecast("expired" if expired else "refused", not_sent.reason)
    if isinstance(not_sent, Postponed):
        return Forecast("waits")
    window = spec_of(destination.name).duplicate_window
    twice = window is not None and _is_older(event, window)
    return Forecast("waits" if is_held else "sent", may_count_twice=twice)


def _is_older(event: FailedEvent, window: timedelta) -> bool:
    conversion = read_conversion(event)
    return isinstance(conversion, Conversion) and event.now - conversion.event_time > window
