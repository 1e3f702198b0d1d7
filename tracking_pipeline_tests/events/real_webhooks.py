"""Webhooks of shops, form builders, calendars and customer databases, as in :mod:`real_shapes`."""

from __future__ import annotations

from tracking_pipeline_tests.events.real_shapes import Shape
from tracking_pipeline_tests.events.written import AGENT, AN_HOUR_AGO, ISO_TIME, PAGE, sha256

_JANE, _PHONE, _DIGITS = "jane.roe@example.com", "+1 650 555 1212", "16505551212"
_OTHER = "host@example.net"
_SECRET = "whsec-made-up-987654321"
_FBP = "fb.1.1764000000000.1234567890"
_CLICK = "Cj0KCQiA-made-up_3"
_ADDRESS = {"first_name": "Jane", "last_name": "Roe", "city": "Menlo Park", "postcode": "94025"}
_NAMES = {"fn": sha256("jane"), "ln": sha256("roe")}

WEBHOOKS: tuple[Shape, ...] = (
    Shape(
        "a WooCommerce order",
        "Purchase",
        {
            "id": 727,
            "number": "727",
            "status": "processing",
            "currency": "EUR",
            "date_created_gmt": "2026-11-24T11:00:00",
            "total": "129.90",
            "total_tax": "20.74",
            "customer_ip_address": "8.8.8.8",
            "customer_user_agent": AGENT,
            "billing": {**_ADDRESS, "state": "CA", "country": "US", "email": _JANE},
            "shipping": {**_ADDRESS, "state": "CA", "country": "US"},
            "line_items": [{"id": 1, "name": "Bag", "product_id": 93, "total": "109.16"}],
            "meta_data": [{"id": 1, "key": "_fbp", "value": _FBP}],
        },
        {
            "time": AN_HOUR_AGO,
            "value": 129.9,
            "currency": "EUR",
            "email": _JANE,
            "keys": {**_NAMES, "st": sha256("ca"), "client_user_agent": AGENT, "fbp": _FBP},
        },
    ),
    Shape(
        "a Shopify order",
        "Purchase",
        {
            "id": 450789469,
            "name": "#1001",
            "order_number": 1001,
            "email": _JANE,
            "created_at": "2026-11-24T12:00:00+01:00",
            "total_price": "129.90",
            "currency": "EUR",
            "buyer_accepts_marketing": False,
            "customer": {"email": _JANE, "first_name": "Jane", "state": "disabled"},
            "billing_address": {"last_name": "Roe", "zip": "94025", "country_code": "US"},
            "line_items": [{"title": "Bag", "vendor": "Acme", "price": "129.90", "sku": "B-1"}],
            "note_attributes": [{"name": "_fbp", "value": _FBP}],
        },
        {
            "time": AN_HOUR_AGO,
            "order": "1001",
            "value": 129.9,
            "currency": "EUR",
            "email": _JANE,
            "keys": {**_NAMES, "st": None, "fbp": _FBP},
        },
    ),
    Shape(
        "a Stripe checkout, as a subscription",
        "Subscribe",
        {
            "id": "evt_1",
            "object": "event",
            "type": "checkout.session.completed",
            "created": AN_HOUR_AGO,
            "data": {
                "object": {
                    "id": "cs_test_1",
                    "object": "checkout.session",
                    "currency": "eur",
                    "customer_details": {"email": _JANE, "phone": _PHONE, "name": "Jane Roe"},
                    "metadata": {"event_id": "sub-9", "fbp": _FBP, "gclid": _CLICK},
                }
            },
        },
        {
            "id": "sub-9",
            "email": _JANE,
            "phone": _DIGITS,
            "click": _CLICK,
            "keys": {"fbp": _FBP},
        },
    ),
    Shape(
        "an answer about a lead of Meta's",
        "Lead",
        {
            "created_time": "2026-11-24T11:00:00+0000",
            "id": "444444444444444",
            "ad_id": "120200000000000001",
            "form_id": "333333333333333",
            "field_data": [
                {"name": "full_name", "values": ["Jane Roe"]},
                {"name": "email", "values": [_JANE]},
                {"name": "phone_number", "values": [_PHONE]},
                {"name": "what_are_you_interested_in?", "values": ["A bag"]},
            ],
        },
        {"time": AN_HOUR_AGO, "email": _JANE, "phone": _DIGITS, "keys": _NAMES},
    ),
    Shape(
        "a Typeform answer",
        "Lead",
        {
            "event_id": "01HMADEUP",
            "event_type": "form_response",
            "form_response": {
                "form_id": "lT4Z3j",
                "token": _SECRET,
                "submitted_at": ISO_TIME,
                "hidden": {"gclid": _CLICK},
                "answers": [
                    {"type": "email", "email": _JANE, "field": {"id": "1", "type": "email"}},
                    {"type": "phone_number", "phone_number": _PHONE, "field": {"id": "2"}},
                ],
            },
        },
        {
            "id": "01HMADEUP",
            "time": AN_HOUR_AGO,
            "email": _JANE,
            "phone": _DIGITS,
            "click": _CLICK,
        },
        (_SECRET,),
    ),
    Shape(
        "a Calendly invitee",
        "Schedule",
        {
            "event": "invitee.created",
            "created_at": "2026-11-24T11:00:00.000000Z",
            "payload": {
                "email": _JANE,
                "first_name": "Jane",
                "last_name": "Roe",
                "uri": "https://api.calendly.com/scheduled_events/1/invitees/2",
                "tracking": {"utm_source": "mail"},
                "scheduled_event": {
                    "name": "A call",
                    "start_time": "2026-12-01T09:00:00Z",
                    "event_memberships": [{"user_email": _OTHER, "user_name": "Hannah Host"}],
                },
            },
        },
        {"time": AN_HOUR_AGO, "email": _JANE, "keys": _NAMES},
        (_OTHER, "hannah"),
    ),
    Shape(
        "a Webflow form",
        "Lead",
        {
            "triggerType": "form_submission",
            "payload": {
                "name": "Contact",
                "siteId": "65541f1e8d1c4b0001a1b2c3",
                "data": {"First Name": "Jane", "Last name": "Roe", "Email": _JANE},
                "submittedAt": "2026-11-24T11:00:00.000Z",
                "id": "65541f1e8d1c4b0001a1b2c4",
            },
        },
        {"time": AN_HOUR_AGO, "email": _JANE, "keys": _NAMES},
    ),
    Shape(
        "a Contact Form 7 mail",
        "Lead",
        {
            "your-name": "Jane Roe",
            "your-email": _JANE,
            "your-phone": _PHONE,
            "your-message": f"Please call {_OTHER} as well",
            "_wpcf7": "12",
            "page_url": PAGE,
        },
        {"page": PAGE, "email": _JANE, "phone": _DIGITS, "keys": _NAMES},
        (_OTHER,),
    ),
    Shape(
        "a HubSpot contact",
        "Lead",
        {
            "vid": 4201,
            "properties": {
                "email": {"value": _JANE},
                "firstname": {"value": "Jane"},
                "lastname": {"value": "Roe"},
            },
        },
        {"email": _JANE, "keys": _NAMES},
    ),
    Shape(
        "an n8n flow of cash on delivery",
        "Purchase",
        {
            "headers": {"x-forwarded-for": "8.8.8.8", "authorization": f"Bearer {_SECRET}"},
            "body": {
                "first_name": "Jane",
                "last_name": "Roe",
                "phone": _PHONE,
                "ip": "8.8.8.8",
                "user_agent": AGENT,
                "event_name": "Purchase",
                "event_time": AN_HOUR_AGO,
                "value": "129,90",
                "currency": "eur",
            },
        },
        {
            "time": AN_HOUR_AGO,
            "value": 129.9,
            "currency": "EUR",
            "phone": _DIGITS,
            "keys": {**_NAMES, "client_ip_address": "8.8.8.8", "client_user_agent": AGENT},
        },
        (_SECRET,),
    ),
    Shape(
        "a Measurement Protocol relay whose visitor refused",
        "purchase",
        {
            "client_id": "111.222",
            "event_name": "purchase",
            "consent": {"ad_user_data": False, "ad_personalization": False},
            "page_location": PAGE,
            "value": 129.9,
            "currency": "USD",
            "user_data": {"email": _JANE},
        },
        {},
        withheld=True,
    ),
    Shape(
        "a Segment call with OneTrust's categories",
        "Purchase",
        {
            "type": "track",
            "event": "Order Completed",
            "messageId": "ajs-1",
            "userId": "u-77",
            "properties": {"order_id": "S-1", "total": 129.9, "currency": "USD", "email": _JANE},
            "context": {
                "consent": {"categoryPreferences": {"Advertising": False, "Analytics": True}}
            },
        },
        {},
        withheld=True,
    ),
    Shape(
        "a body with Cookiebot's words",
        "Lead",
        {
            "event_name": "Lead",
            "email": _JANE,
            "cookieConsent": {"necessary": True, "statistics": True, "marketing": False},
        },
        {},
        withheld=True,
    ),
    Shape(
        "a Shopify pixel whose customer wants no marketing",
        "Purchase",
        {
            "name": "checkout_completed",
            "id": "sh-1",
            "timestamp": ISO_TIME,
            "customerPrivacy": {"analyticsProcessingAllowed": True, "marketingAllowed": False},
            "data": {"checkout": {"email": _JANE, "currencyCode": "EUR"}},
        },
        {},
        withheld=True,
    ),
)
