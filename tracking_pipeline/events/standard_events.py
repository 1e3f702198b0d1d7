"""The standard event that a name means, whatever the tracker calls it.

Each platform has names of its own for the same few events. What they are told apart by here are
Meta's: the site's own name, Google Analytics' and Segment's lead to it.
https://developers.facebook.com/docs/meta-pixel/reference
https://developers.google.com/analytics/devguides/collection/ga4/reference/events
https://segment.com/docs/connections/spec/ecommerce/v2/
"""

from __future__ import annotations

from collections.abc import Mapping

from tracking_pipeline.events.conversion import STANDARD_EVENTS
from tracking_pipeline.events.names import plain_name

# By the standard event; spellings as `plain_name` writes them.
_SPELLINGS = {
    "AddPaymentInfo": "paymentinfoentered",
    "AddToCart": "productadded",
    "AddToWishlist": "productaddedtowishlist",
    "CompleteRegistration": "signup signedup registrationcompleted accountcreated",
    "Contact": "contacted contactus",
    "InitiateCheckout": "begincheckout checkoutstarted",
    "Lead": (
        "generatelead leadgenerated leadcaptured leadsubmissionsuccess phoneleadcaptured submitform"
    ),
    "PageView": "page pageviewed pagevisit",
    "Purchase": "ordercompleted orderpaid completepayment",
    "Schedule": "bookingconfirmed consultationbooked bookappointment",
    "Search": "productssearched viewsearchresults",
    "StartTrial": "trialstarted",
    "Subscribe": "subscribed",
    "ViewContent": "viewitem productviewed",
}
_STANDARD = {plain_name(name): name for name in STANDARD_EVENTS} | {
    spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()
}


def standard_event(name: str) -> str | None:
    """The standard event behind an event's name; None for one of the site's own."""
    return _STANDARD.get(plain_name(name))


class EventNames:
    """What one platform calls the events: ``table`` by the standard event, and before it ``own``,
    the operator's, by any name of an event (``*``: every other one)."""

    def __init__(self, table: Mapping[str, str], own: Mapping[str, str]) -> None:
        self._table = table
        self._own = {name if name == "*" else plain_name(name): said for name, said in own.items()}

    def of(self, name: str) -> str | None:
        """The platform's name for the event; None where it has none."""
        standard = standard_event(name)
        for known in (plain_name(name), plain_name(standard or name)):
            if known in self._own:
                return self._own[known]
        return self._table.get(standard or name, self._own.get("*"))
