"""The event quality that Pinterest reports for an ad account: its verdict, and with which share of
the events it got each identifier.

https://developers.pinterest.com/docs/api/v5/conversion_eqs-list

A conversion token may not read it: it takes one with the scope ``ads:read``
(``PINTEREST_ADS_TOKEN``). Told beside a check of the destination; what cannot be read is no fault.
"""

from __future__ import annotations

from typing import Any

from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.http_client import Answer, DeliveryClient, get

DAYS = 14
_BY_API = "CONVERSIONS_API"
_WORDS = {"GOOD": "good", "FAIR": "fair", "NEEDS_IMPROVEMENT": "needs improvement"}


async def ask_quality(client: DeliveryClient, account_url: str, token: str) -> str:
    """What Pinterest says of the last days, as people read it. ``account_url`` is that of the ad
    account, without a slash at its end."""
    answer = await get(
        client,
        f"{account_url}/conversion_eqs",
        params={"lookback_period": f"{DAYS}d", "ingestion_source": _BY_API},
        headers={"authorization": f"Bearer {token}"},
    )
    return quality_words(answer)


def quality_words(answer: Answer) -> str:
    """An answer in one line, as in "event quality of 14 days: WEB fair (click_id_epik 12 %)": of
    each identifier the event that has it least often. Pure."""
    listed = answer.json() if answer.status == 200 and not answer.fault else None
    if not isinstance(listed, list):
        what = f"HTTP {answer.status}" if answer.status else "no answer"
        return f"event quality: {what}; PINTEREST_ADS_TOKEN needs the scope ads:read"
    told = [words for each in listed if (words := _of_source(each))]
    return f"event quality of {DAYS} days: {'; '.join(told) or 'none yet'}"


def _of_source(entry: Any) -> str:
    if not isinstance(entry, dict) or entry.get("ingestion_source", _BY_API) != _BY_API:
        return ""
    status = _WORDS.get(str(entry.get("overall_status")))
    if status is None:
        return ""
    components = entry.get("quality_components")
    shares: dict[str, float] = {}
    for name, events in components.items() if isinstance(components, dict) else ():
        found = [
            float(each["coverage"])
            for each in (events.values() if isinstance(events, dict) else ())
            if isinstance(each, dict) and isinstance(each.get("coverage"), (int, float))
        ]
        if found:
            shares[name] = min(found)
    least = ", ".join(f"{name} {share:.0f} %" for name, share in sorted(shares.items()))
    source = str(entry.get("source_platform", "all"))
    return redact(f"{source} {status}" + (f" ({least})" if least else ""))
