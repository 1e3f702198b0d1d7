"""What TikTok's codes mean, which stand in the body: its HTTP status is 200 whatever happened.

A wrong pixel and a wrong event have one code; the words tell them apart.
"""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_API = "https://business-api.tiktok.com/portal/docs?id=1737172488964097"
_CONNECTOR = "rudderlabs/rudder-transformer, src/v0/destinations/tiktok_ads"

ABOUT_THE_PIXEL = "40002 about the event source"
PARTLY = "20001"

CODES = Codes(
    {
        **known(Failure.TIKTOK_EVENT_REFUSED, _CONNECTOR, "40000", "40002", PARTLY),
        **known(Failure.TIKTOK_EVENT_REFUSED, _API, "400", "413", "422"),
        **known(Failure.TIKTOK_PIXEL_UNKNOWN, _API, ABOUT_THE_PIXEL),
        **known(Failure.TIKTOK_PERMISSION_MISSING, _CONNECTOR, "40001"),
        **known(Failure.TIKTOK_PERMISSION_MISSING, _API, "403"),
        **known(Failure.TIKTOK_TOKEN_REFUSED, _CONNECTOR, "40104", "40105"),
        **known(Failure.TIKTOK_TOKEN_REFUSED, _API, "401", "40102"),
        **known(Failure.TIKTOK_RATE_LIMITED, _CONNECTOR, "40100"),
        **known(Failure.TIKTOK_RATE_LIMITED, _API, "429", "40133"),
        **known(Failure.TIKTOK_UNAVAILABLE, _API, "50000", "50002"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.TIKTOK_RATE_LIMITED,
        "paused": Failure.TIKTOK_CALL_REFUSED,
        "rejected": Failure.TIKTOK_EVENT_REFUSED,
    },
)
