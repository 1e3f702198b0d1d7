"""What each platform could match of the window's conversions, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, spec_of
from tracking_pipeline.health.config import HealthConfig
from tracking_pipeline.health.emq.platforms import keys_of_destination
from tracking_pipeline.health.formatting import percent
from tracking_pipeline.health.view.summary import HealthSummary


@dataclass(frozen=True, slots=True)
class PlatformLine:
    """One destination: the share of the conversions with enough of its match keys, empty where its
    platform does not say what is enough, and ``keys``, the share with each of them."""

    title: str
    enough: str
    keys: str


def platform_lines(summary: HealthSummary, config: HealthConfig) -> list[PlatformLine]:
    """The destinations that are set up, as of the last check; all of them where none is."""
    enough, shares = summary.parts("matchable"), summary.parts("emq_coverage")
    keys_of = {name: keys for name in DESTINATIONS if (keys := keys_of_destination(name))}
    shown = keys_of.keys() & set(config.accounting.configured) or keys_of.keys()
    return [
        PlatformLine(
            spec_of(name).title,
            "" if (share := enough.get(name)) is None else percent(share),
            ", ".join(
                f"{key} {percent(share)}" for key in keys if (share := shares.get(key)) is not None
            ),
        )
        for name, keys in keys_of.items()
        if name in shown and any(shares.get(key) is not None for key in keys)
    ]
