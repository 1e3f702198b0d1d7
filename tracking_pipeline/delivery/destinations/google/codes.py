"""What the reasons and statuses of Google's Data Manager API mean.

A reason is an ``ErrorInfo``'s or a field violation's, or one that Google tells later of an accepted
request, without its prefix. A canonical status (https://google.aip.dev/193) decides where no reason
is known.
"""

from __future__ import annotations

import re

from tracking_pipeline.delivery.destinations.codes import Codes, known
from tracking_pipeline.delivery.failures import Failure

_ERRORS = "https://developers.google.com/data-manager/api/devguides/concepts/understand-errors"
_LATER = "https://developers.google.com/data-manager/api/devguides/diagnostics"
_LIMITS = "https://developers.google.com/data-manager/api/devguides/limits"
_STATUSES = "https://google.aip.dev/193"

# Google has the conversion, from an earlier try of ours or from the tag on the page: no failure.
DUPLICATE_REASONS = frozenset(("DUPLICATE_TRANSACTION_ID", "DUPLICATE_GCLID"))
# Told later of an event that Google took: it knows no click, person or conversion of its own that
# belongs to it. Most conversions follow no ad: sites are told to send them all, and to expect this.
# It is no failure; as one it stands in the table for a request that is refused at once.
# https://support.google.com/google-ads/answer/13321563
UNMATCHED_REASONS = frozenset(
    (
        "CLICK_NOT_FOUND",
        "INVALID_CLICK",
        "MATCH_ID_NOT_FOUND",
        "ORIGINAL_CONVERSIONS_NOT_FOUND",
        "USER_ID_NOT_FOUND",
        "USER_ID_NOT_FOUND_FOR_DCLID",
        "USER_ID_NOT_FOUND_FOR_GCLID",
        "USER_ID_NOT_FOUND_FOR_IMPRESSION_ID",
        "USER_ID_NOT_FOUND_FOR_MATCH_ID",
    )
)

ORDER_ID = "violation of transactionId"
"""No reason of Google's: what makes of any that it gives for this field an order id's."""

CODES = Codes(
    {
        # -- reasons ---------------------------------------------------------------------------
        **known(Failure.GOOGLE_SCOPE_MISSING, _ERRORS, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        **known(Failure.GOOGLE_API_NOT_ENABLED, _ERRORS, "CONSUMER_INVALID", "SERVICE_DISABLED"),
        **known(
            Failure.GOOGLE_POLICY_PROHIBITS,
            _ERRORS,
            "DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS",
        ),
        **known(
            Failure.GOOGLE_TERMS_NOT_SIGNED,
            _ERRORS,
            "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED",
            "TERMS_AND_CONDITIONS_NOT_SIGNED",
        ),
        **known(
            Failure.GOOGLE_ENHANCED_CONVERSIONS_OFF,
            _ERRORS,
            "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS",
        ),
        **known(
            Failure.GOOGLE_EU_DECLARATION_MISSING,
            _ERRORS,
            "EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED",
        ),
        **known(
            Failure.GOOGLE_ATTRIBUTION_DATA_MISSING, _ERRORS, "EXTERNAL_ATTRIBUTION_DATA_MISSING"
        ),
        **known(
            Failure.GOOGLE_CONVERSION_ACTION_WRONG,
            _ERRORS,
            "INVALID_CONVERSION_ACTION_ID",
            "INVALID_CONVERSION_ACTION_TYPE",
        ),
        **known(
            Failure.GOOGLE_ACCOUNT_WRONG,
            _ERRORS,
            "INVALID_DESTINATION",
            "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH",
        ),
        **known(Failure.GOOGLE_NOT_ALLOWLISTED, _ERRORS, "NOT_ALLOWLISTED"),
        # Nothing is wrong but the time: the newest conversion action is not yet known everywhere.
        **known(Failure.GOOGLE_TOO_EARLY, _ERRORS, "CONVERSION_ACTION_TOO_RECENTLY_CREATED"),
        **known(Failure.GOOGLE_EVENT_TOO_OLD, _LATER, "EVENT_TOO_OLD"),
        **known(
            Failure.GOOGLE_CONSENT_MISSING,
            _LATER,
            *("DENIED_CONSENT", "NO_CONSENT", "UNKNOWN_CONSENT"),
        ),
        **known(
            Failure.GOOGLE_CLICK_UNUSABLE,
            _LATER,
            "CLICK_NOT_FOUND",
            "CONVERSION_PRECEDES_CLICK",
            "INVALID_AD_IDENTIFIERS",
            "INVALID_CLICK",
            "INVALID_GBRAID",
            "INVALID_GCLID",
            "INVALID_OPERATING_ACCOUNT_FOR_CLICK",
            "INVALID_WBRAID",
            "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID",
            "OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER",
        ),
        **known(Failure.GOOGLE_CLICK_TOO_RECENT, _LATER, "TOO_RECENT_CLICK"),
        **known(
            Failure.GOOGLE_PERSON_NOT_FOUND,
            _LATER,
            *("USER_ID_NOT_FOUND", "USER_ID_NOT_FOUND_FOR_GCLID"),
        ),
        **known(Failure.GOOGLE_CONVERSION_NOT_FOUND, _LATER, "ORIGINAL_CONVERSIONS_NOT_FOUND"),
        **known(
            Failure.GOOGLE_EVENT_INVALID,
            _LATER,
            *("EVENT_ID_DECODE_ERROR", "INVALID_EVENT", "INVALID_FORMAT"),
        ),
        **known(Failure.GOOGLE_ORDER_ID_REFUSED, _ERRORS, ORDER_ID),
        # -- statuses --------------------------------------------------------------------------
        **known(Failure.GOOGLE_QUOTA_USED_UP, _LIMITS, "RESOURCE_EXHAUSTED"),
        **known(Failure.GOOGLE_TOKEN_REFUSED, _STATUSES, "UNAUTHENTICATED"),
        **known(Failure.GOOGLE_PERMISSION_MISSING, _ERRORS, "PERMISSION_DENIED"),
        **known(Failure.GOOGLE_ACCOUNT_WRONG, _STATUSES, "NOT_FOUND"),
        **known(Failure.GOOGLE_CALL_REFUSED, _STATUSES, "FAILED_PRECONDITION", "UNIMPLEMENTED"),
        **known(
            Failure.GOOGLE_EVENT_INVALID,
            _STATUSES,
            *("INVALID_ARGUMENT", "OUT_OF_RANGE", "ALREADY_EXISTS"),
        ),
        **known(
            Failure.GOOGLE_UNAVAILABLE,
            _STATUSES,
            *("ABORTED", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE"),
            "UNKNOWN",
        ),
    },
    {
        "retry": Failure.GOOGLE_UNKNOWN_REASON,
        "throttled": Failure.GOOGLE_QUOTA_USED_UP,
        "paused": Failure.GOOGLE_CALL_REFUSED,
        "rejected": Failure.GOOGLE_EVENT_INVALID,
    },
)

# Google adds reasons; one that is not known here tells by its words whom it is about.
_OF_THE_ACCOUNT = re.compile(
    r"ACCOUNT|LOGIN|LINK|PARTNER|TERMS|ALLOW_?LIST|PERMISSION|DESTINATION|CONVERSION_ACTION|POLICY"
    r"|PROJECT|CONSUMER|SERVICE|BILLING|API_KEY|SCOPE|EXTERNAL_ATTRIBUTION|DEVELOPER_TOKEN"
    r"|NOT_ENABLED|NOT_SIGNED"
)
_OF_NOBODY = re.compile(
    r"(?:CLICK|IMPRESSION|INTERACTION|USER|PERSON|CUSTOMER|VISITOR|MATCH|CONVERSIONS?|IDENTIFIERS?"
    r"|_ID)\w*_NOT_FOUND|UNMATCHED|NO_MATCH|NOT_MATCHED|UNATTRIBUT|NOT_ATTRIBUT"
)


def is_the_accounts(reason: str) -> bool:
    """Whether a reason speaks of the account or the destination, so that no event gets in."""
    outcome = CODES.outcome(reason)
    if outcome is not None or reason in DUPLICATE_REASONS:
        return outcome == "paused"
    return _OF_THE_ACCOUNT.search(reason) is not None


def is_unmatched(reason: str) -> bool:
    """Whether a reason says that Google took the event and found nobody whom it belongs to."""
    if reason in UNMATCHED_REASONS:
        return True
    if CODES.outcome(reason) is not None or reason in DUPLICATE_REASONS:
        return False
    return _OF_NOBODY.search(reason) is not None and not is_the_accounts(reason)
