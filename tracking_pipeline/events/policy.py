"""How a site wants payloads to be read: what silence about consent means, whose clock counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Literal, TypeAlias

from tracking_pipeline.events.consent import ConsentDefault

PrivacyControl: TypeAlias = Literal["limited", "denied", "ignored"]


@dataclass(frozen=True, slots=True)
class ReadingPolicy:
    """``zone``: of times that name none; UTC where it is None. ``consent_default``: what it means
    that a payload says nothing of consent. ``denied_consent_ids``: which of a consent manager's own
    ids are of advertising. ``privacy_control``: what a browser's Global Privacy Control does:
    limits the use of the data, withholds the event, or nothing. ``longest_wait``: how far ahead an
    event's time may lie for the event to wait for it."""

    zone: tzinfo | None = None
    consent_default: ConsentDefault = "unknown"
    denied_consent_ids: frozenset[str] = frozenset()
    privacy_control: PrivacyControl = "limited"
    longest_wait: timedelta = timedelta(days=1)


DEFAULT_POLICY = ReadingPolicy()
