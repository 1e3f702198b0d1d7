"""Payloads as public handlers, form builders and platforms' webhooks write them. Nobody in here
exists."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracking_pipeline_tests.events.written import AGENT, AN_HOUR_AGO, ISO_TIME, PAGE, sha256

_JANE, _PHONE, _DIGITS = "jane.roe@example.com", "+1 650 555 1212", "16505551212"
_TOKEN = "EAAB-made-up-token-987654321"
_FBP, _FBC = "fb.1.1764000000000.1234567890", "fb.1.1764000000000.IwAR0abc"
_CLICK = "Cj0KCQiA-made-up_2"


class Shape(NamedTuple):
    """``told``: what Meta is told (``keys``: of its match keys), and Google's ``click``,
    ``transaction`` and ``consent``. ``hides``: texts that go nowhere, hashed or not. ``google``:
    whether it is anything for Google."""

    name: str
    row_name: str
    payload: dict[str, Any]
    told: dict[str, Any]
    hides: tuple[str, ...] = ()
    google: bool = True
    withheld: bool = False


_ITEMS = [{"item_id": "SKU-1", "item_name": "Bag", "price": 64.95, "quantity": 2}]

SHAPES: tuple[Shape, ...] = (
    Shape(
        "a Next.js route's body",
        "Purchase",
        {
            "eventName": "Purchase",
            "eventId": "purchase_1764_a1",
            "eventTime": AN_HOUR_AGO,
            "email": _JANE,
            "phone": _PHONE,
            "firstName": "Jane",
            "lastName": "Roe",
            "userId": "u-77",
            "sourceUrl": PAGE,
            "customData": {"value": 129.9, "currency": "EUR"},
            "fbc": _FBC,
            "fbp": _FBP,
        },
        {
            "id": "purchase_1764_a1",
            "time": AN_HOUR_AGO,
            "page": PAGE,
            "value": 129.9,
            "currency": "EUR",
            "email": _JANE,
            "phone": _DIGITS,
            "keys": {"fn": sha256("jane"), "ln": sha256("roe"), "fbp": _FBP, "fbc": _FBC},
        },
    ),
    Shape(
        "a service's options with a user in them",
        "CompleteRegistration",
        {
            "eventName": "CompleteRegistration",
            "eventId": "demo_77",
            "eventSourceUrl": "https://app.example/signup",
            "user": {
                "email": _JANE,
                "externalId": "77",
                "ipAddress": "8.8.8.8",
                "userAgent": AGENT,
                "fbp": _FBP,
            },
            "customData": {"content_name": "demo"},
        },
        {
            "id": "demo_77",
            "page": "https://app.example/signup",
            "email": _JANE,
            "keys": {
                "client_ip_address": "8.8.8.8",
                "client_user_agent": AGENT,
                "external_id": sha256("77"),
                "fbp": _FBP,
            },
        },
    ),
    Shape(
        "a request to Meta, kept whole",
        "Lead",
        {
            "data": [
                {
                    "event_name": "Lead",
                    "event_time": AN_HOUR_AGO,
                    "event_id": "lead_1764_hotel",
                    "event_source_url": "https://hotel.example/",
                    "action_source": "website",
                    "user_data": {"ph": [sha256(_DIGITS)], "country": ["co"], "fbp": _FBP},
                    "custom_data": {"hotel": "Sol", "checkin": "2026-12-20", "personas": "2"},
                }
            ],
            "access_token": _TOKEN,
            "test_event_code": "TEST1",
        },
        {"id": "lead_1764_hotel", "time": AN_HOUR_AGO, "phone": _DIGITS, "keys": {"fbp": _FBP}},
        (_TOKEN,),
        # Meta's hash of a phone is not Google's.
        google=False,
    ),
    Shape(
        "a list of one with Meta's order id in the shop's spelling",
        "Purchase",
        {
            "params": [
                {
                    "event_name": "Purchase",
                    "event_time": AN_HOUR_AGO,
                    "event_id": "20048",
                    "event_source_url": PAGE,
                    "action_source": "website",
                    "user_data": {"em": sha256(_JANE), "fbp": _FBP},
                    "custom_data": {"currency": "USD", "value": "129.90", "orderid": "20048"},
                }
            ]
        },
        {"id": "20048", "value": 129.9, "currency": "USD", "order": "20048", "email": _JANE},
    ),
    Shape(
        "a Measurement Protocol body of a booking",
        "purchase",
        {
            "client_id": "111.222",
            "timestamp_micros": AN_HOUR_AGO * 1_000_000,
            "events": [
                {
                    "name": "purchase",
                    "params": {
                        "transaction_id": "bk_9",
                        "value": 129.9,
                        "currency": "USD",
                        "session_id": "1764000000",
                        "engagement_time_msec": 1,
                        "device_category": "mobile",
                        "items": _ITEMS,
                    },
                }
            ],
            "user_data": {"sha256_email_address": sha256(_JANE)},
        },
        {"name": "purchase", "time": AN_HOUR_AGO, "order": "bk_9", "value": 129.9, "email": _JANE},
    ),
    Shape(
        "a data layer with enhanced conversions",
        "Purchase",
        {
            "event": "purchase",
            "gtm.uniqueEventId": 512,
            "event_time": AN_HOUR_AGO,
            "enhanced_conversion_data": {"email": _JANE, "phone_number": _PHONE},
            "ecommerce": {
                "transaction_id": "T-12",
                "affiliation": "Shop",
                "value": 129.9,
                "tax": 20.74,
                "currency": "EUR",
                "items": _ITEMS,
            },
        },
        {"order": "T-12", "value": 129.9, "currency": "EUR", "email": _JANE, "phone": _DIGITS},
    ),
    Shape(
        "a server's Segment call",
        "Purchase",
        {
            "userId": "u-77",
            "event": "Order Completed",
            "timestamp": ISO_TIME,
            "messageId": "node-a1b2",
            "properties": {
                "orderId": "INV-9",
                "revenue": 129.9,
                "currency": "USD",
                "email": _JANE,
                "products": [{"id": "P-1", "name": "Bag", "category": "Travel"}],
            },
            "context": {"library": {"name": "analytics-node", "version": "6.2.0"}},
        },
        {"id": "node-a1b2", "time": AN_HOUR_AGO, "order": "INV-9", "value": 129.9, "email": _JANE},
    ),
    Shape(
        "a PostHog event",
        "Purchase",
        {
            "uuid": "0190c1c0-0000-7000-8000-000000000001",
            "event": "order_paid",
            "distinct_id": "u-77",
            "timestamp": ISO_TIME,
            "properties": {
                "$current_url": PAGE,
                "$set": {"email": _JANE},
                "order_id": "PH-3",
                "value": 129.9,
                "currency": "EUR",
                "token": _TOKEN,
            },
        },
        {"time": AN_HOUR_AGO, "page": PAGE, "order": "PH-3", "value": 129.9, "email": _JANE},
        (_TOKEN,),
    ),
    Shape(
        "a TikTok Events API request",
        "Purchase",
        {
            "event_source": "web",
            "event_source_id": "C0PIXEL",
            "data": [
                {
                    "event": "CompletePayment",
                    "event_time": AN_HOUR_AGO,
                    "event_id": "tt-1",
                    "user": {"email": sha256(_JANE), "ip": "8.8.8.8", "user_agent": AGENT},
                    "properties": {"currency": "EUR", "value": 129.9, "order_id": "TT-9"},
                    "page": {"url": PAGE},
                }
            ],
        },
        {
            "name": "Purchase",
            "id": "tt-1",
            "time": AN_HOUR_AGO,
            "page": PAGE,
            "order": "TT-9",
            "value": 129.9,
            "email": _JANE,
            "source": "website",
        },
    ),
    Shape(
        "a click conversion of the Python client",
        "Purchase",
        {
            "conversion_action": "customers/1/conversionActions/2",
            "gclid": _CLICK,
            "conversion_date_time": "2026-11-24 12:00:00+01:00",
            "conversion_value": 129.9,
            "currency_code": "EUR",
            "order_id": "GA-1",
            "user_identifiers": [{"hashed_email": sha256(_JANE)}],
            "consent": {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
        },
        {
            "time": AN_HOUR_AGO,
            "order": "GA-1",
            "value": 129.9,
            "email": _JANE,
            "click": _CLICK,
            "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"},
        },
    ),
    Shape(
        "a table's row of an offline click",
        "Lead",
        {
            "gclid": _CLICK,
            "time": "2026-11-24T11:00:00.000",
            "amount": "129.9",
            "email": _JANE,
            "consent_ad_user_data": "GRANTED",
            "consent_ad_personalization": "UNSPECIFIED",
        },
        {
            "time": AN_HOUR_AGO,
            "value": 129.9,
            "click": _CLICK,
            "email": _JANE,
            "consent": {"adUserData": "CONSENT_GRANTED"},
        },
    ),
)
