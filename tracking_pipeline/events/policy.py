"""How a site wants payloads to be read: what silence about consent means, whose clock counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING, Literal, TypeAlias
from zoneinfo import ZoneInfo

from tracking_pipeline.events.consent import ConsentDefault

if TYPE_CHECKING:
    from tracking_pipeline.settings import Settings

PrivacyControl: TypeAlias = Literal["limited", "denied", "ignored"]


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """``zone``: of times that name none; UTC where it is None. ``consent_default``: what it means
    that a payload says nothing of consent. ``denied_consent_ids``: which of a consent manager's own
    ids are of advertising. ``privacy_control``: what a browser's Global Privacy Control does:
    limits the use of the data, withholds the event, or nothing. ``longest_wait``: how far ahead an
    event's time may lie for the event to wait for it. ``hosting_match_keys``: whether a lead's
    place serves that came from an address of a data centre, a proxy, a VPN or a relay."""

    zone: tzinfo | None = None
    consent_default: ConsentDefault = "unknown"
    denied_consent_ids: frozenset[str] = frozenset()
    privacy_control: PrivacyControl = "limited"
    longest_wait: timedelta = timedelta(days=1)
    hosting_match_keys: bool = False


DEFAULT_POLICY = ReadingPolicy()


def reading_policy(settings: Settings) -> ReadingPolicy:
    """How this site wants its payloads to be read."""
    zone = settings.site_timezone
    return ReadingPolicy(
        zone=ZoneInfo(zone) if zone else None,
        consent_default=settings.consent_default,
        denied_consent_ids=frozenset(settings.denied_consent_ids),
        privacy_control=settings.global_privacy_control,
        longest_wait=timedelta(hours=settings.future_events_wait_hours),
        hosting_match_keys=settings.geo_match_keys_from_hosting,
    )
