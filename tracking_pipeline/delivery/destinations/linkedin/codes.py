"""What LinkedIn's errors mean: their ``code``, their ``serviceErrorCode``, and the HTTP status."""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_ERRORS = "https://learn.microsoft.com/en-us/linkedin/shared/api-guide/concepts/error-handling"
_VERSIONS = "https://learn.microsoft.com/en-us/linkedin/marketing/versioning"
_RATES = "https://learn.microsoft.com/en-us/linkedin/shared/api-guide/concepts/rate-limits"
_OBSERVED = "rudderlabs/rudder-transformer, src/v1/destinations/linkedin_ads"

CODES = Codes(
    {
        **known(
            Failure.LINKEDIN_TOKEN_REFUSED,
            _ERRORS,
            *("401", "INVALID_ACCESS_TOKEN", "REVOKED_ACCESS_TOKEN", "EXPIRED_ACCESS_TOKEN"),
            *("EMPTY_ACCESS_TOKEN", "65600", "65601", "65602", "65604"),
        ),
        **known(Failure.LINKEDIN_PERMISSION_MISSING, _ERRORS, "403", "ACCESS_DENIED"),
        **known(
            Failure.LINKEDIN_VERSION_ENDED,
            _VERSIONS,
            *("426", "NONEXISTENT_VERSION", "VERSION_MISSING"),
        ),
        **known(Failure.DESTINATION_RATE_LIMITED, _RATES, "429", "TOO_MANY_REQUESTS"),
        **known(Failure.LINKEDIN_EVENT_REFUSED, _OBSERVED, "400", "413", "422"),
        **known(Failure.LINKEDIN_CALL_REFUSED, _ERRORS, "404", "405", "RESOURCE_NOT_FOUND"),
    },
    {
        "retry": Failure.DESTINATION_UNAVAILABLE,
        "throttled": Failure.DESTINATION_RATE_LIMITED,
        "paused": Failure.LINKEDIN_CALL_REFUSED,
        "rejected": Failure.LINKEDIN_EVENT_REFUSED,
    },
)
