"""No secret that stands anywhere in a payload goes to a platform, a container or the ledger."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline_tests.events.written import (
    PLACES,
    SPELLINGS,
    each_outcome,
    placed,
    purchase,
    sent,
    spelled,
    text_of,
)
from tracking_pipeline_tests.events.written_envelopes import ENVELOPES
from tracking_pipeline_tests.events.written_forms import FORMS, Written

SECRET = "EAABsbCS1iHgBO7ZCmadeup0123456789"

NAMES = (
    "access_token", "token", "fb_access_token", "authorization", "x_api_key", "api_key", "apikey",
    "api_secret", "app_secret", "client_secret", "password", "appsecret_proof", "refresh_token",
    "auth_token", "bearer_token", "session_token", "csrf_token", "private_key", "secret",
    "webhook_secret", "capi_token", "meta_access_token", "id_token", "jwt", "set_cookie", "cookie",
    "service_role_key", "stripe_secret_key", "signing_key",
    "password2", "password_confirmation", "password_hash", "token_value", "token_facebook",
    "fb_token_v2", "secret_1", "tokens", "secrets", "passwords", "api_keys", "api_key_live",
    "auth_header", "authorization_header", "x_authorization_key", "aws_secret_access_key",
    "raw_cookie", "cookie_header", "session_cookie", "document_cookie", "cookie_string", "pwd",
    "pass", "db_pass", "appsecret_proof_2",
)  # fmt: skip
_HEADERS: tuple[Any, ...] = (
    {"Authorization": f"Bearer {SECRET}"},
    {"authorization": f"Basic {SECRET}", "Cookie": f"sid={SECRET}"},
    {"x-api-key": SECRET, "apikey": SECRET, "Content-Type": "application/json"},
    [["Authorization", f"Bearer {SECRET}"]],
    [{"name": "Authorization", "value": f"Bearer {SECRET}"}],
    [{"key": "X-Api-Key", "value": SECRET}],
    [["Authorization", SECRET]],
    ["Host", "shop.example", "Authorization", SECRET],
    ["Cookie", f"sid={SECRET}"],
    f"Authorization: Bearer {SECRET}",
    json.dumps({"Authorization": f"Bearer {SECRET}"}),
)
HEADERS = tuple(
    {name: headers} for headers in _HEADERS for name in ("headers", "request_headers", "config")
)
_TOLD = f"https://shop.example/account?access_token={SECRET}"
_ADDRESSES = (
    f"https://graph.facebook.com/v21.0/1/events?access_token={SECRET}",
    f"https://shop.example/thanks?order=1&access_token={SECRET}",
    f"https://shop.example/thanks#access_token={SECRET}&state=x",
    f"https://shop.example/thanks?token={SECRET}&utm_source=mail",
    f"https://shop.example/#/thanks?api_key={SECRET}",
    f"https://shop.example/thanks?a=1;password={SECRET}",
    f"https://user:{SECRET}@shop.example/thanks",
    f"https://shop.example/thanks?key={SECRET}",
    f"https://shop.example/thanks;jsessionid={SECRET}?a=1",
    f"https://shop.example/thanks?next={quote(_TOLD, safe='')}&a=1",
    f"https://shop.example/thanks?next={quote(quote(_TOLD, safe=''), safe='')}",
)
_NAMES_OF_ADDRESSES = (
    "url", "page_url", "event_source_url", "page_location", "referrer", "href", "link",
)  # fmt: skip
# Each address under two names, which take turns.
ADDRESSES = tuple(
    {_NAMES_OF_ADDRESSES[(number * 2 + more) % 7]: address}
    for number, address in enumerate(_ADDRESSES)
    for more in range(2)
)
HIDDEN: tuple[dict[str, Any], ...] = (
    *({name: SECRET} for name in NAMES),
    *({"auth": {name: SECRET}} for name in NAMES[::3]),
    *({"params": {name: SECRET}} for name in NAMES[1::3]),
    *HEADERS,
    *ADDRESSES,
    {"curl": f"curl -H 'Authorization: Bearer {SECRET}' https://shop.example"},
    {"cookies": f"sid={SECRET}; _ga=GA1.1.1.2"},
    {"cookies": [f"sid={SECRET}"]},
    {"env": {"DB_PASS": SECRET}},
    {"order_status_url": f"https://shop.example/orders/1/authenticate?key={SECRET}"},
    {"link": quote(_TOLD, safe="")},
    {"form": [{"name": "api_key", "value": SECRET}]},
    {"nested": {"deeper": [{"still": {"access_token": SECRET}}]}},
)
"""Fields with a secret in them."""


def who_tells(payload: Any, **row: Any) -> list[str]:
    """The destinations that would be sent the secret."""
    return [
        name
        for name, outcome in each_outcome(payload, **row)
        if isinstance(outcome, Prepared) and SECRET in text_of(outcome)
    ]


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_goes_out(place: str) -> None:
    for fields in HIDDEN:
        payload, row = placed(place, fields)
        assert who_tells(payload, **row) == [], fields


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "cookie"])
def test_in_any_spelling_of_its_name(name: str, spelling: str) -> None:
    written = spelled(name, spelling)
    for payload in (
        purchase(**{written: SECRET}),
        purchase(metadata={written: SECRET}),
        purchase(custom_data={written: SECRET}),
        purchase(page_url=f"https://shop.example/?{written.replace(' ', '_')}={SECRET}&a=1"),
    ):
        assert who_tells(payload) == []


@settings(max_examples=60)
@given(
    st.sampled_from(FORMS),
    st.lists(st.sampled_from(HIDDEN), min_size=1, max_size=3),
    st.sampled_from(sorted(ENVELOPES)),
    st.booleans(),
)
def test_out_of_no_form_and_no_envelope(
    written: Written, hidden: list[dict[str, Any]], envelope: str, beside: bool
) -> None:
    more = {name: value for fields in hidden for name, value in fields.items()}
    more = {name: value for name, value in more.items() if name not in written.payload}
    if beside:
        payload = {"request": more, "event": ENVELOPES[envelope](written.payload)}
    else:
        payload = ENVELOPES[envelope]({**written.payload, **more})

    assert who_tells(payload, event_name="Purchase") == []


def test_an_address_of_an_api_is_no_page_and_a_pages_other_parameters_stay() -> None:
    api = {"url": f"https://graph.facebook.com/v21.0/1/events?access_token={SECRET}"}
    assert "event_source_url" not in sent("meta_capi", purchase(page_url=None, **api))

    page = f"https://shop.example/t?utm_source=mail&token={SECRET}&color=navy&cookie={SECRET}"
    kept = sent("meta_capi", purchase(page_url=page))["event_source_url"]
    assert kept == "https://shop.example/t?utm_source=mail&color=navy"


@pytest.mark.parametrize(
    "harmless",
    [
        {"token_count": 3},
        {"cookie_banner": "v2"},
        {"cookies_accepted": "yes"},
        {"cookie_policy_version": "v2"},
        {"max_tokens": 100},
        {"token_type": "bearer"},
        {"secretary": "yes"},
        {"bypass": "no"},
        {"waterproof": "yes"},
        {"proof_of_purchase": "receipt"},
        {"note": "access token: Session has expired"},
    ],
    ids=str,
)
def test_what_merely_sounds_like_one_stays(harmless: dict[str, Any]) -> None:
    for place in ("metadata", "custom_data"):
        metadata = sent("ledger", purchase(**{place: harmless}))["metadata"]
        assert {name: metadata[name] for name in harmless} == harmless
