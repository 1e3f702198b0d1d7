"""What Reddit's answers mean. Its errors have the HTTP status for a code; one row is for what
no answer says."""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import IN_DOUBT, Codes, known
from tracking_pipeline.delivery.failures import Failure

_API = "https://ads-api.reddit.com/docs/v3/operations/Post%20Conversion%20Events"
_CONNECTOR = "rudderlabs/rudder-transformer, src/v0/destinations/reddit"

CODES = Codes(
    {
        **known(Failure.REDDIT_EVENT_REFUSED, _API, "400", "413", "422"),
        **known(Failure.REDDIT_TOKEN_REFUSED, _API, "401"),
        **known(Failure.REDDIT_PERMISSION_MISSING, _API, "403"),
        **known(Failure.REDDIT_PIXEL_UNKNOWN, _API, "404"),
        **known(Failure.DESTINATION_RATE_LIMITED, _API, "429"),
        **known(Failure.REDDIT_OUTCOME_UNKNOWN, _CONNECTOR, IN_DOUBT),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.REDDIT_CALL_REFUSED,
        "rejected": Failure.REDDIT_EVENT_REFUSED,
    },
)
