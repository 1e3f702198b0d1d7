"""What Snapchat's answers mean. Its errors have the HTTP status for a code; one row is our own name
for what their words say."""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_API = "https://developers.snap.com/api/marketing-api/Conversions-API/UsingTheAPI"

ABOUT_THE_CALL = "400 about the pixel or the token"

CODES = Codes(
    {
        **known(Failure.SNAPCHAT_EVENT_REFUSED, _API, "400", "413", "422"),
        **known(Failure.SNAPCHAT_CALL_REFUSED, _API, ABOUT_THE_CALL),
        **known(Failure.SNAPCHAT_TOKEN_REFUSED, _API, "401"),
        **known(Failure.SNAPCHAT_PERMISSION_MISSING, _API, "403"),
        **known(Failure.SNAPCHAT_PIXEL_UNKNOWN, _API, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _API, "429"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.SNAPCHAT_CALL_REFUSED,
        "rejected": Failure.SNAPCHAT_EVENT_REFUSED,
    },
)
