"""Places from ipinfo.io, in batches.

https://ipinfo.io/developers/batch-enrichment-api. The three services answer in three shapes, each
known by its fields:

- Core and above (``/batch``): ``{"geo": {"city", "region", "region_code", "postal_code",
  "country_code"}, "is_hosting", "is_anonymous"}``;
- Lite (``/batch/lite``, the free plan): ``{"country_code", "country"}``, a country and no place in
  it;
- legacy (``/batch/legacy``, or ``https://ipinfo.io/batch``): ``{"city", "region", "postal",
  "country", "privacy": {...}}``, where ``country`` is the code.

The token goes into a header. Each address of a batch counts against the monthly quota.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Final

import orjson

from tracking_pipeline import http_client as http
from tracking_pipeline.geo.online import (
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

NAME: Final = "ipinfo"
# The API takes 1,000; the answer about one address may be some kilobytes long.
BATCH_ADDRESSES = 200

# The quota is a month's. A 429 that names no time is asked about every hour.
_WAIT_SECONDS = 3600.0
_LONGEST_WAIT_SECONDS = 24 * 3600.0


class IpInfo:
    """ipinfo with a token. ``url`` is the base URL, to which ``/batch`` is added, or the URL of one
    of the batch services itself (``https://api.ipinfo.io/batch/lite``)."""

    name: Final = NAME

    def __init__(
        self,
        client: http.DeliveryClient,
        pool: AsyncPool,
        *,
        url: str,
        token: str,
        today: date,
        seconds_left: SecondsLeft,
    ) -> None:
        self._url = url if "/batch" in url else f"{url}/batch"
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self.source = f"{NAME} {today}"
        self._online = OnlineSource(NAME, client, pool, window=None, seconds_left=seconds_left)

    async def locate(self, addresses: Sequence[str]) -> dict[str, Answer]:
        """See :class:`~tracking_pipeline.geo.provider.Provider`.

        Raises psycopg.OperationalError when the database stays away.
        """
        return await self._online.locate(addresses, BATCH_ADDRESSES, self._question)

    def _question(self, batch: Sequence[str]) -> Question:
        return Question(
            self._url,
            orjson.dumps(batch),
            self._headers,
            lambda answer: read_answer(answer, batch),
        )


def read_answer(answer: http.Answer, batch: Sequence[str]) -> Verdict:
    """What an answer to a batch says: an object with one member for each address. Pure, but for the
    time of day where ``Retry-After`` is a date and the answer itself has none."""
    if answer.status == 429:
        seconds = http.retry_after_seconds(answer.headers, datetime.now(timezone.utc))
        wait = _WAIT_SECONDS if seconds is None else min(seconds, _LONGEST_WAIT_SECONDS)
        return ProviderThrottled("HTTP 429: the quota is used up, or asked too often", wait)
    if answer.status in (401, 403):
        return Failed(
            f"HTTP {answer.status}: check IPINFO_TOKEN; a token of the free plan wants "
            "IPINFO_URL=https://api.ipinfo.io/batch/lite"
        )
    if problem := unusable(answer):
        return problem
    items = document_of(answer)
    if not isinstance(items, dict):
        return UnreadableAnswer("unreadable answer")
    if items.keys().isdisjoint(batch):
        return UnreadableAnswer("no address of the batch is in the answer")
    return Understood({address: _read_item(items.get(address)) for address in batch})


def _read_item(item: object) -> Answer:
    if not isinstance(item, dict) or "error" in item or not isinstance(item.get("geo") or {}, dict):
        return AskLater("no readable answer for the address")
    if item.get("bogon") is True:
        return NOWHERE
    parts = _parts(item)
    if not all(map(is_readable, parts.values())):
        return AskLater("no readable answer for the address")
    place = place_of(**parts)
    return NOWHERE if place is None else Located(place, is_no_home(item))


def _parts(item: Mapping[str, object]) -> dict[str, object]:
    geo = item.get("geo")
    if isinstance(geo, dict):
        return {
            "city": geo.get("city"),
            "state": geo.get("region"),
            "state_code": geo.get("region_code"),
            "zip_code": geo.get("postal_code"),
            "country": geo.get("country_code"),
        }
    return {
        "city": item.get("city"),
        "state": item.get("region"),
        "zip_code": item.get("postal"),
        "country": item.get("country_code") or item.get("country"),
    }
