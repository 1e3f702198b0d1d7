"""What Pinterest's error codes mean, and its HTTP statuses where a body has no code."""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_API = "https://developers.pinterest.com/docs/api/v5/events-create"

# Codes of the body have this before them, lest they be taken for a status.
BODY = "code "

CODES = Codes(
    {
        **known(Failure.PINTEREST_TOKEN_REFUSED, _API, f"{BODY}2", "401"),
        **known(Failure.PINTEREST_PERMISSION_MISSING, _API, f"{BODY}3", f"{BODY}29", "403"),
        **known(Failure.PINTEREST_ACCOUNT_UNKNOWN, _API, "404"),
        **known(Failure.PINTEREST_RATE_LIMITED, _API, f"{BODY}8", "429"),
        **known(Failure.PINTEREST_EVENT_REFUSED, _API, f"{BODY}4196", "400", "413", "422"),
        **known(Failure.PINTEREST_UNAVAILABLE, _API, f"{BODY}4197"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.PINTEREST_RATE_LIMITED,
        "paused": Failure.PINTEREST_CALL_REFUSED,
        "rejected": Failure.PINTEREST_EVENT_REFUSED,
    },
)
