"""How ip-api counts the requests of each source, what becomes of those over the limit, and what the
stand-in was asked.

https://ip-api.com/docs/unban: 45 requests a minute to the single endpoint and 15 to the batch
endpoint, 429 until the window is over, a ban for those who constantly go over. Nothing is sent
while `X-Rl` is 0. A window begins with its first request.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Endpoint = Literal["batch", "json"]


@dataclass(frozen=True)
class IpApiLimits:
    """The limits of the free service. `over_before_ban` is how many requests over the limit a
    source may send in all before it is banned; ip-api does not say its own number."""

    batch_requests: int = 15
    single_requests: int = 45
    window_seconds: float = 60.0
    over_before_ban: int = 30


@dataclass(frozen=True)
class Counted:
    """What a source is told: `left` is `X-Rl`, `resets_in_seconds` is `X-Ttl`, in whole seconds."""

    left: int
    resets_in_seconds: int
    over: bool
    banned: bool


class IpApiTraffic:
    """The requests to one stand-in. Thread safe.

    `limits`, `in_another_order` (items of an answer in the reverse of the order asked), `left_out`
    (addresses that are missing from an answer) and `written_as` (what stands in an answer in the
    place of an address's item, JSON or not) may be set while the server answers.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[tuple[str, Endpoint], tuple[float, int]] = {}
        self._over: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self.limits = IpApiLimits()
        self.in_another_order = False
        self.left_out: frozenset[str] = frozenset()
        self.written_as: Mapping[str, bytes] = {}

    def count(self, source: str, endpoint: Endpoint, clock_seconds: float) -> Counted:
        """Count one request of a source. `clock_seconds` is the time of day (Unix seconds)."""
        limits = self.limits
        allowed = limits.batch_requests if endpoint == "batch" else limits.single_requests
        with self._lock:
            ends_at, used = self._windows.get((source, endpoint), (0.0, 0))
            if clock_seconds >= ends_at:
                ends_at, used = clock_seconds + limits.window_seconds, 0
            over = used >= allowed
            self._windows[source, endpoint] = ends_at, used + (not over)
            self._over[source] += over
            return Counted(
                left=max(allowed - used - 1, 0),
                resets_in_seconds=int(ends_at - clock_seconds),
                over=over,
                banned=self._over[source] > limits.over_before_ban,
            )

    def note(self, addresses: Iterable[str]) -> None:
        """Remember what was asked about."""
        with self._lock:
            self._asked.update(addresses)

    @property
    def asked(self) -> Counter[str]:
        """How often each address was asked about, in requests that were read."""
        with self._lock:
            return Counter(self._asked)
