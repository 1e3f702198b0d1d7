"""What OpenAI's answers mean: the HTTP status. Codes of its own are not published."""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_API = "https://developers.openai.com/ads/conversions-api"

CODES = Codes(
    {
        **known(Failure.OPENAI_KEY_REFUSED, _API, "401"),
        **known(Failure.OPENAI_PERMISSION_MISSING, _API, "403"),
        **known(Failure.OPENAI_PIXEL_UNKNOWN, _API, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _API, "429"),
        **known(Failure.OPENAI_EVENT_REFUSED, _API, "400", "413", "422"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.OPENAI_CALL_REFUSED,
        "rejected": Failure.OPENAI_EVENT_REFUSED,
    },
)
