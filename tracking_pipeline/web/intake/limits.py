"""Who may post to intake, and how often."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address

from pydantic import SecretStr
from starlette.requests import Request

from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.web.security.client_address import Network, is_local

MOST_CLIENTS = 50_000
_MINUTE = 60.0
# What one household or one server gets of IPv6: whoever has it has all its addresses.
_V6_PREFIX = 64


class IntakeKey:
    """``INTAKE_KEY``, sent as ``X-API-Key``, as ``apikey`` (Supabase's clients) or as a bearer; or
    as ``apikey`` in the query, by ``navigator.sendBeacon``, which can set no header. It is known to
    every visitor of the site, and no query is logged here.

    Without a key configured only a process of this machine may post; ``trusted`` are the proxies of
    ours, which may stand on it.
    """

    def __init__(self, key: SecretStr | None, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._digest = _digest(key.get_secret_value()) if key else None

    def require(self, request: Request) -> None:
        """Raises :class:`ApiError`: 401 without the right key, 403 where none is configured."""
        if self._digest is None:
            if not is_local(request, self._trusted):
                raise ApiError(403, "intake is closed to the network: set INTAKE_KEY")
            return
        headers = request.headers
        given = headers.get("x-api-key") or headers.get("apikey")
        if given is None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            given = token.strip() if scheme.lower() == "bearer" else ""
        if not given:
            given = request.query_params.get("apikey", "")
        if not hmac.compare_digest(_digest(given), self._digest):
            raise ApiError(
                401,
                "the intake key is needed: send it as X-API-Key",
                headers={"WWW-Authenticate": 'Bearer realm="tracking_pipeline intake"'},
            )


def _digest(key: str) -> bytes:
    # Of one length whatever was sent, so that a comparison tells nothing about the key's own.
    return hashlib.sha256(key.encode()).digest()


class RateLimit:
    """So many requests a minute for each client, of which a whole minute's may come at once.

    One number a client (the generic cell rate algorithm): when it will have used up what it took.
    Of more than :data:`MOST_CLIENTS` the one that was away longest is forgotten.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = _MINUTE / per_minute
        self._clock = clock
        self._used_up: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used_up)

    def seconds_to_wait(self, client: str) -> float:
        """0 where the client may go on, and takes its turn; else when it may come again."""
        now = self._clock()
        used_up = max(self._used_up.get(client, now), now) + self._interval
        # A hair's breadth, because sixty times a sixtieth is not quite one.
        wait = used_up - now - _MINUTE
        if wait > self._interval / 1000:
            return wait
        self._used_up[client] = used_up
        self._used_up.move_to_end(client)
        if len(self._used_up) > MOST_CLIENTS:
            self._used_up.popitem(last=False)
        return 0.0


def client_of(address: str | None) -> str:
    """What a client is told apart by: its IPv4 address, or the /64 that its IPv6 address is in."""
    if address is None or ":" not in address:
        return address or ""
    parsed = ip_address(address)
    assert isinstance(parsed, IPv6Address)  # noqa: S101
    return str(IPv6Network((int(parsed), _V6_PREFIX), strict=False))
