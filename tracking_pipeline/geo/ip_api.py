"""Places from ip-api.com, a hundred addresses a request.

https://ip-api.com/docs/api:batch, limits: https://ip-api.com/docs/unban. The free service is plain
http, for non-commercial use, and counts requests by the address they come from: 15 in a minute, and
none while ``X-Rl`` is 0. Who goes on all the same is banned for good. The paid one takes its key in
the URL, so that URL is in no log and no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlencode

import orjson

from tracking_pipeline import http_client as http
from tracking_pipeline.geo.online import (
    Allowance,
    Failed,
    OnlineSource,
    ProviderThrottled,
    Question,
    SecondsLeft,
    Understood,
    UnreadableAnswer,
    Verdict,
    document_of,
    unusable,
)
from tracking_pipeline.geo.place import is_readable, place_of
from tracking_pipeline.geo.provider import NOWHERE, Answer, AskLater, Located, is_no_home
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.geo_providers import RequestWindow

NAME: Final = "ip_api"
BATCH_ADDRESSES = 100
FREE_WINDOW = RequestWindow(requests=15, seconds=60.0)

# `region` is left out: it is "FIPS or ISO", and the answer does not say which.
_FIELDS = "status,message,query,countryCode,regionName,city,zip,proxy,hosting"
_PARTS = {"city": "city", "state": "regionName", "zip_code": "zip", "country": "countryCode"}
_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_FINAL_FAILS = frozenset({"private range", "reserved range", "invalid query"})

# A 429 that does not say for how long: the window is a minute.
_WAIT_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3600.0
# `X-Ttl` is in whole seconds, and the answer took a moment to get here.
_MARGIN_SECONDS = 1.0


class IpApi:
    """The free service, or the paid one where there is a ``key``."""

    name: Final = NAME

    def __init__(
        self,
        client: http.DeliveryClient,
        pool: AsyncPool,
        *,
        url: str,
        key: str | None = None,
        today: date,
        seconds_left: SecondsLeft,
        window: RequestWindow = FREE_WINDOW,
    ) -> None:
        """``url`` is the base URL, without a slash at its end; ``window`` is what the free service
        allows before it has said so itself."""
        parameters = {"fields": _FIELDS} | ({"key": key} if key else {})
        self._url = f"{url}/batch?{urlencode(parameters)}"
        self._paid = key is not None
        self.source = f"{NAME} {today}"
        self._online = OnlineSource(
            NAME, client, pool, window=None if key else window, seconds_left=seconds_left
        )

    async def locate(self, addresses: Sequence[str]) -> dict[str, Answer]:
        """See :class:`~tracking_pipeline.geo.provider.Provider`. May wait for the next window, as
        long as the run has the time.

        Raises psycopg.OperationalError when the database stays away.
        """
        return await self._online.locate(addresses, BATCH_ADDRESSES, self._question)

    def _question(self, batch: Sequence[str]) -> Question:
        return Question(
            self._url,
            orjson.dumps(batch),
            _HEADERS,
            lambda answer: read_answer(answer, batch, paid=self._paid),
        )


def read_answer(answer: http.Answer, batch: Sequence[str], *, paid: bool = False) -> Verdict:
    """What an answer to a batch says. Its items are known by their ``query``: no page promises an
    order. Pure."""
    if answer.status == 429:
        return ProviderThrottled("HTTP 429: asked too often", _throttle_seconds(answer.headers))
    if answer.status == 403:
        return Failed(
            "HTTP 403: check IP_API_KEY"
            if paid
            else "HTTP 403: this machine's address may be banned, see https://ip-api.com/docs/unban"
        )
    if problem := unusable(answer):
        return problem
    items = document_of(answer)
    listed = items if isinstance(items, list) else []
    by_query = {_spelled(item.get("query")): item for item in listed if isinstance(item, dict)}
    allowance = _allowance(answer.headers)
    if by_query.keys().isdisjoint(batch):
        return UnreadableAnswer("unreadable answer", allowance)
    return Understood({address: _read_item(by_query.get(address)) for address in batch}, allowance)


def _spelled(query: object) -> str | None:
    """An address in the one spelling in which addresses are asked about."""
    try:
        return str(ip_address(query)) if isinstance(query, str) else None
    except ValueError:
        return None


def _read_item(item: Mapping[str, object] | None) -> Answer:
    if item is None:
        return AskLater("the address is missing from the answer")
    if item.get("status") == "fail":
        message = item.get("message")
        return NOWHERE if message in _FINAL_FAILS else AskLater("status fail, of an unknown kind")
    if item.get("status") != "success":
        return AskLater("unreadable answer")
    parts = {name: item.get(field) for name, field in _PARTS.items()}
    if not all(map(is_readable, parts.values())):
        return AskLater("unreadable answer")
    place = place_of(**parts)
    return NOWHERE if place is None else Located(place, is_no_home(item))


def _allowance(headers: Mapping[str, str]) -> Allowance:
    left, seconds = _number(headers.get("x-rl")), _number(headers.get("x-ttl"))
    if left is None:
        return Allowance()
    if seconds is None:
        return Allowance(left, _WAIT_SECONDS if left == 0 else None)
    return Allowance(left, min(seconds + _MARGIN_SECONDS, _LONGEST_WAIT_SECONDS))


def _throttle_seconds(headers: Mapping[str, str]) -> float:
    seconds = _number(headers.get("x-ttl"))
    if seconds is None:
        return _WAIT_SECONDS
    return min(seconds + _MARGIN_SECONDS, _LONGEST_WAIT_SECONDS)


def _number(text: str | None) -> int | None:
    """A count as HTTP writes one; None for nonsense."""
    text = (text or "").strip()
    return int(text[:9]) if text.isdecimal() and text.isascii() else None
