"""The forms that events are stored in, told apart by the names in the event itself.

The order counts: the first form whose names are there is the event's. Most of a form's fields have
names that mean the same everywhere (``events/names.py``); a form lists only what its own words
mean. To teach the pipeline a form, add a line here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, slots=True)
class Form:
    """``needs``: names that must all be there, ``one_of``: of which one must be; all as
    :func:`~tracking_pipeline.events.names.plain_name` gives them. ``means``: what a name says in
    this form alone. ``sure``: such an object is an event wherever it stands."""

    name: str
    title: str
    needs: frozenset[str]
    one_of: frozenset[str] = frozenset()
    means: Mapping[str, str] = field(default_factory=dict)
    sure: bool = True


def _form(
    name: str,
    title: str,
    needs: str,
    one_of: str = "",
    means: Mapping[str, str] | None = None,
    *,
    sure: bool = True,
) -> Form:
    return Form(name, title, frozenset(needs.split()), frozenset(one_of.split()), means or {}, sure)


FLAT = _form("flat", "a handler's own flat object", "", sure=False)

FORMS: tuple[Form, ...] = (
    _form(
        "iab_ecapi",
        "IAB Tech Lab Event and Conversion API 1.0",
        "datasetid eventtype",
        means={
            "eventtype": "event_name",
            "customevent": "custom_event",
            "id": "event_id",
            "timestamp": "event_time",
            "source": "action_source",
        },
    ),
    _form(
        "google_ads_adjustment",
        "Google Ads API, ConversionAdjustment",
        "adjustmenttype",
        "orderid gcliddatetimepair",
    ),
    _form(
        "google_ads_click_conversion",
        "Google Ads API, ClickConversion",
        "conversiondatetime",
        "conversionaction gclid gbraid wbraid conversionvalue useridentifiers",
    ),
    _form(
        "data_manager_event",
        "Google Data Manager API, Event",
        "eventtimestamp",
        "transactionid conversionvalue eventsource adidentifiers destinationreferences",
    ),
    _form(
        "measurement_protocol_event",
        "GA4 Measurement Protocol, an element of `events`",
        "name params",
        means={"name": "event_name"},
    ),
    _form(
        "rudderstack_track",
        "RudderStack, track",
        "event properties",
        "rudderid rudderanonymousid requestip",
        means={"messageid": "event_id", "anonymousid": "client_id"},
    ),
    _form(
        "segment_track",
        "Segment, track",
        "event properties",
        "messageid anonymousid originaltimestamp userid sentat writekey integrations",
        means={"messageid": "event_id", "anonymousid": "client_id"},
    ),
    _form("ga4_data_layer", "GA4 data layer with `ecommerce`", "event ecommerce"),
    _form(
        "data_client",
        "common event data of Stape's Data Client",
        "eventname",
        "commoncookie consentstate ipoverride dcid datatagid xgaprotocolversion "
        "xsstpage clienthints xfbcmgclid",
    ),
    _form(
        "ledger_row",
        "a row of `wm_event_log`",
        "eventname",
        "ingestedby sourcesystem emailsha256 funnelstage sourcetool intenttier",
    ),
    _form(
        "meta_event",
        "Meta Conversions API, a server event",
        "eventname",
        "userdata customdata actionsource eventsourceurl",
    ),
    FLAT,
)


def form_of(names: Collection[str]) -> Form:
    """The form of an event whose fields have these names."""
    found = set(names)
    for form in FORMS:
        if form.needs <= found and (not form.one_of or form.one_of & found):
            return form
    return FLAT


# Calls that were stored whole: the address of an API is no page, its headers are no visitor's.

# Of a request that was stored whole, where its body may stand.
BODIES = frozenset(
    "body data json payload content requestbody postdata rawbody events event record form".split()
)
REQUEST_URLS = frozenset(("url", "uri", "endpoint", "baseURL", "href"))
_API = re.compile(
    r"https?://(?:(?:graph|api|apis|hooks?|webhooks?|datamanager|googleads|business-api|functions|"
    r"capi|tr|events?|ingest|collector|collect|track|gtm|sgtm|ss|server)[\w-]*\.[^/?#]+"
    r"|[^/?#]*(?:googleapis|google-analytics|supabase|run\.app|cloudfunctions|amazonaws)[^/?#]*)"
    r"|https?://[^/?#]+/(?:v\d+(?:\.\d+)?|api|functions/v\d|rest/v\d|mp/collect|g/collect|webhooks?"
    r"|graphql|collect)(?:[/?#]|$)",
    re.IGNORECASE,
)
_API_SURE = re.compile(
    r"https?://(?:(?:graph|api|apis|hooks|datamanager|googleads|business-api|functions)\.[^/?#]+"
    r"|[^/?#]*(?:googleapis|google-analytics\.com|supabase\.co|cloudfunctions\.net)[^/?#]*)"
    r"|https?://[^/?#]+/(?:v\d+(?:\.\d+)?|api|functions/v\d|rest/v\d|mp/collect|g/collect)"
    r"(?:[/#]|\Z)",
    re.IGNORECASE,
)
REQUEST_WORDS = frozenset(("method", "headers", "data", "body", "json", "payload"))


def is_api_address(url: str) -> bool:
    """Tells the address of an API, which is no page that anybody visited."""
    page = url.strip().partition("?")[0]
    return _is_known_api(page) if len(page) < _LONGEST_KNOWN else _is_api(page)


def _is_api(page: str) -> bool:
    return _API_SURE.match(page) is not None


# The pages of a site come again and again; what visitors add to them is not kept.
_LONGEST_KNOWN = 120
_is_known_api = lru_cache(maxsize=4096)(_is_api)


def is_request(mapping: Mapping[Any, Any]) -> bool:
    """Tells a request that was sent to an API: its address, headers and parameters are its own."""
    return any(
        isinstance(url := mapping.get(name), str) and _API.match(url.strip()) is not None
        for name in REQUEST_URLS
    )
