"""What Meta's error codes mean.

A code stands as Meta's pages write it, ``code/subcode`` where the subcode decides. Two rows of code
100 go by what else the answer says: a wrong ``appsecret_proof`` and a wrong object have the code of
an event's bad parameter.
"""

from __future__ import annotations

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_GRAPH = "https://developers.facebook.com/docs/graph-api/guides/error-handling"
_MARKETING = "https://developers.facebook.com/docs/marketing-api/error-reference"
_RATES = "https://developers.facebook.com/docs/graph-api/overview/rate-limiting"
_SECURITY = "https://developers.facebook.com/docs/graph-api/guides/secure-requests"
_OBSERVED = "rudderlabs/rudder-transformer, facebookUtils/networkHandler.js"

WRONG_PROOF = "100 about appsecret_proof"
OF_THE_CALL = "100 of type GraphMethodException"
OF_THE_OBJECT = "100 about the object"

CODES = Codes(
    {
        **known(Failure.META_UNAVAILABLE, _GRAPH, "1", "2"),
        **known(Failure.META_UNAVAILABLE, _OBSERVED, "5000", "21009"),
        **known(Failure.META_RATE_LIMITED, _GRAPH, "4", "17", "341"),
        **known(
            Failure.META_RATE_LIMITED,
            _RATES,
            *("32", "613", "80000", "80003", "80004", "80014"),
        ),
        **known(Failure.META_TOKEN_EXPIRED, _GRAPH, "190/463"),
        **known(Failure.META_TOKEN_REFUSED, _GRAPH, "102", "190"),
        **known(
            Failure.META_PERMISSION_MISSING,
            _GRAPH,
            *("3", "10", *map(str, range(200, 300))),
        ),
        **known(Failure.META_APP_SECRET_WRONG, _SECURITY, WRONG_PROOF),
        **known(Failure.META_CALL_REFUSED, _GRAPH, OF_THE_CALL),
        **known(Failure.META_DATASET_UNKNOWN, _OBSERVED, "100/33"),
        **known(Failure.META_DATASET_UNKNOWN, _GRAPH, OF_THE_OBJECT),
        **known(Failure.META_VERSION_ENDED, _MARKETING, "2635"),
        # Asking again soon makes it worse, and somebody should look.
        **known(Failure.META_BLOCKED, _GRAPH, "368"),
        **known(Failure.META_EVENT_TOO_OLD, _OBSERVED, "100/2804003"),
        **known(Failure.META_EVENT_UNIDENTIFIED, _OBSERVED, "100/2804050"),
        **known(Failure.META_PURCHASE_INCOMPLETE, _OBSERVED, "100/2804009"),
        **known(Failure.META_EVENT_INVALID, _MARKETING, "100", "105"),
    },
    {
        "retry": Failure.META_UNAVAILABLE,
        "throttled": Failure.META_RATE_LIMITED,
        "paused": Failure.META_UNKNOWN_CODE,
        "rejected": Failure.META_EVENT_INVALID,
    },
)
