"""What Microsoft's answers mean: the HTTP status. The codes of single fields are not listed."""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_GUIDE = "https://learn.microsoft.com/en-us/advertising/guides/uet-conversion-api-integration"

CODES = Codes(
    {
        **known(Failure.MICROSOFT_TOKEN_REFUSED, _GUIDE, "401"),
        **known(Failure.MICROSOFT_PERMISSION_MISSING, _GUIDE, "403"),
        **known(Failure.MICROSOFT_TAG_UNKNOWN, _GUIDE, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _GUIDE, "429"),
        **known(Failure.MICROSOFT_EVENT_REFUSED, _GUIDE, "400", "413", "422"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.MICROSOFT_CALL_REFUSED,
        "rejected": Failure.MICROSOFT_EVENT_REFUSED,
    },
)
