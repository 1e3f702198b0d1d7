"""One purchase, written in each form of ``events/forms.py``, as each form's own pages write it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tracking_pipeline_tests.events.written import (
    AGENT,
    AN_HOUR_AGO,
    CLICK,
    CLIENT_ID,
    EMAIL,
    EVENT_ID,
    ISO_TIME,
    ORDER,
    PAGE,
    PHONE,
    sha256,
)

HASH = sha256(EMAIL)
_MICROS = AN_HOUR_AGO * 1_000_000
_ADS_TIME = "2026-11-24 12:00:00+01:00"


class Written(NamedTuple):
    """``lacks``: which facts the form has no field for. ``name``: the event's name in it.
    ``client``: the visitor's id that it gives."""

    form: str
    payload: dict[str, Any]
    lacks: frozenset[str] = frozenset()
    name: str = "Purchase"
    client: str | None = None


def _without(*names: str) -> frozenset[str]:
    return frozenset(names)


FORMS: tuple[Written, ...] = (
    Written(
        "meta_event",
        {
            "event_name": "Purchase",
            "event_id": EVENT_ID,
            "event_time": AN_HOUR_AGO,
            "action_source": "website",
            "event_source_url": f"{PAGE}&gclid={CLICK}",
            "user_data": {"em": [HASH], "ph": PHONE, "client_user_agent": AGENT},
            "custom_data": {"value": 129.9, "currency": "EUR", "order_id": ORDER},
        },
    ),
    Written(
        "data_manager_event",
        {
            "destinationReferences": ["shop"],
            "transactionId": ORDER,
            "eventTimestamp": ISO_TIME,
            "eventSource": "WEB",
            "eventName": "Purchase",
            "clientId": CLIENT_ID,
            "currency": "EUR",
            "conversionValue": 129.9,
            "adIdentifiers": {"gclid": CLICK},
            "userData": {"userIdentifiers": [{"emailAddress": HASH}, {"phoneNumber": PHONE}]},
            "consent": {"adUserData": "CONSENT_GRANTED"},
        },
        _without("id", "page"),
        client=CLIENT_ID,
    ),
    Written(
        "google_ads_click_conversion",
        {
            "gclid": CLICK,
            "conversionAction": "customers/1234567890/conversionActions/987654321",
            "conversionDateTime": _ADS_TIME,
            "conversionValue": 129.9,
            "currencyCode": "EUR",
            "orderId": ORDER,
            "userIdentifiers": [{"hashedEmail": HASH}, {"hashedPhoneNumber": sha256(PHONE)}],
            "consent": {"adUserData": "GRANTED", "adPersonalization": "GRANTED"},
        },
        _without("id", "page", "source", "phones"),
    ),
    Written(
        "google_ads_adjustment",
        {
            "adjustmentType": "RESTATEMENT",
            "adjustmentDateTime": "2026-11-24 12:30:00+01:00",
            "conversionAction": "customers/1234567890/conversionActions/987654321",
            "orderId": ORDER,
            "gclidDateTimePair": {"gclid": CLICK, "conversionDateTime": _ADS_TIME},
            "restatementValue": {"adjustedValue": 129.9, "currencyCode": "EUR"},
            "userIdentifiers": [{"hashedEmail": HASH}],
        },
        _without("id", "page", "source", "phones"),
    ),
    Written(
        "measurement_protocol_event",
        {
            "client_id": CLIENT_ID,
            "timestamp_micros": _MICROS,
            "events": [
                {
                    "name": "purchase",
                    "params": {
                        "event_id": EVENT_ID,
                        "transaction_id": ORDER,
                        "value": 129.9,
                        "currency": "EUR",
                        "page_location": f"{PAGE}&gclid={CLICK}",
                        "engagement_time_msec": 1,
                        "items": [{"item_id": "SKU-1", "item_name": "Bag", "price": 129.9}],
                    },
                }
            ],
            "user_data": {"sha256_email_address": [HASH]},
        },
        _without("source", "phones"),
        "purchase",
        CLIENT_ID,
    ),
    Written(
        "ga4_data_layer",
        {
            "event": "purchase",
            "event_id": EVENT_ID,
            "event_time": AN_HOUR_AGO,
            "page_location": f"{PAGE}&gclid={CLICK}",
            "ecommerce": {
                "transaction_id": ORDER,
                "value": 129.9,
                "currency": "EUR",
                "items": [{"item_id": "SKU-1", "price": 64.95, "quantity": 2}],
            },
            "user_data": {"email_address": EMAIL, "phone_number": PHONE},
        },
        _without("source"),
        # Who stored the row knew what the tag's event is to a platform.
        "Purchase",
    ),
    Written(
        "segment_track",
        {
            "type": "track",
            "event": "Order Completed",
            "messageId": EVENT_ID,
            "anonymousId": CLIENT_ID,
            "userId": "u-77",
            "timestamp": ISO_TIME,
            "properties": {
                "order_id": ORDER,
                "revenue": 129.9,
                "currency": "EUR",
                "products": [{"product_id": "P-1", "name": "Bag", "price": 129.9}],
            },
            "context": {
                "page": {"url": f"{PAGE}&gclid={CLICK}", "title": "Thanks"},
                "traits": {"email": EMAIL, "phone": PHONE},
                "userAgent": AGENT,
            },
        },
        _without("source"),
        client=CLIENT_ID,
    ),
    Written(
        "rudderstack_track",
        {
            "type": "track",
            "channel": "web",
            "event": "Order Completed",
            "messageId": EVENT_ID,
            "rudderId": "6f2c1c1e-0000-4000-8000-000000000001",
            "anonymousId": CLIENT_ID,
            "originalTimestamp": ISO_TIME,
            "properties": {"order_id": ORDER, "value": 129.9, "currency": "EUR"},
            "context": {
                "page": {"url": f"{PAGE}&gclid={CLICK}"},
                "traits": {"email": EMAIL, "phone": PHONE},
            },
        },
        _without("source"),
        client=CLIENT_ID,
    ),
    Written(
        "data_client",
        {
            "event_name": "purchase",
            "event_id": EVENT_ID,
            "client_id": CLIENT_ID,
            "timestamp": AN_HOUR_AGO,
            "page_location": PAGE,
            "transaction_id": ORDER,
            "value": 129.9,
            "currency": "EUR",
            "ip_override": "8.8.8.8",
            "user_agent": AGENT,
            "common_cookie": {"_gcl_aw": f"GCL.1764000000.{CLICK}", "_ga": f"GA1.1.{CLIENT_ID}"},
            "consent_state": {"ad_storage": True, "ad_user_data": True},
            "user_data": {"email_address": EMAIL, "phone_number": PHONE},
        },
        _without("source"),
        "purchase",
        CLIENT_ID,
    ),
    Written(
        "ledger_row",
        {
            "event_id": EVENT_ID,
            "event_name": "Purchase",
            "event_type": "conversion",
            "event_time": ISO_TIME,
            "client_id": CLIENT_ID,
            "gclid": CLICK,
            "source_system": "shop",
            "ingested_by": "edge",
            "email_sha256": HASH,
            "page_path": "/thanks?step=2",
            "metadata": {
                "value": "129.90",
                "currency": "EUR",
                "order_id": ORDER,
                "action_source": "website",
            },
        },
        _without("phones"),
        client=CLIENT_ID,
    ),
    Written(
        "iab_ecapi",
        {
            "data_set_id": "shop-eu",
            "id": EVENT_ID,
            "event_type": "purchase",
            "timestamp": AN_HOUR_AGO,
            "source": "website",
            "event_source_url": f"{PAGE}&gclid={CLICK}",
            "value": 129.9,
            "currency_code": "EUR",
            "transaction_id": ORDER,
            "user_data": {"email_address": [HASH], "phone_number": [PHONE]},
        },
        name="purchase",
    ),
    Written(
        "flat",
        {
            "eventName": "Purchase",
            "eventID": EVENT_ID,
            "eventTime": AN_HOUR_AGO * 1000,
            "pageUrl": PAGE,
            "orderNumber": ORDER,
            "total": "129,90 €",
            "gclid": CLICK,
            "customerEmail": " Jane.Roe@Example.com",
            "customerPhone": PHONE,
            "source": "website",
        },
    ),
)
"""Every form of ``events/forms.py``, and the flat one that is none of them."""
