"""A click id is found wherever shops, forms and CRMs keep it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tracking_pipeline.events.person import person_keys
from tracking_pipeline.events.reading import read_payload
from tracking_pipeline_tests.delivery.claimed import NOW
from tracking_pipeline_tests.events.written import CLICK

_SHOP = "https://shop.example/"
KEPT: list[dict[str, Any]] = [
    *(
        {name: CLICK}
        for name in (
            "hs_google_click_id", "gclid__c", "GCLID__c", "first_gclid", "last_gclid", "utm_gclid",
            "google_gclid",
        )
    ),
    {"last_gclid": CLICK, "first_gclid": "of-an-earlier-click"},
    {"click_ids": [{"type": "fbclid", "value": "x"}, {"type": "gclid", "value": CLICK}]},
    {"click_ids": [{"name": "gclid", "id": CLICK}]},
    {"clickIds": {"gclid": CLICK}},
    {"click_id": {"type": "gclid", "value": CLICK}},
    {"landing_site": f"/?gclid={CLICK}"},
    {"landingSite": f"/p?utm_source=a&gclid={CLICK}"},
    {"first_visit": f"{_SHOP}?gclid={CLICK}"},
    {"session": {"entry": f"{_SHOP}?gclid={CLICK}"}},
    {"full_path": f"/thanks?gclid={CLICK}"},
    {"meta_data": [
        {"id": 1, "key": "_wc_order_attribution_session_entry", "value": f"{_SHOP}?gclid={CLICK}"}
    ]},
    {"event_source_url": f"{_SHOP}?u={quote(f'{_SHOP}?gclid={CLICK}', safe='')}"},
    {"event_source_url": f"{_SHOP}?a=1&amp;gclid={CLICK}"},
    {"event_source_url": f"{_SHOP}?u={quote(f'{_SHOP}?gclid=of-another', safe='')}&gclid={CLICK}"},
]  # fmt: skip


@pytest.mark.parametrize("kept", KEPT, ids=str)
def test_a_click_is_found_where_it_is_kept(kept: dict[str, Any]) -> None:
    payload = {"event_name": "purchase", "email": "jane.roe@example.com", **kept}

    assert read_payload(payload).clicks()["gclid"].value == CLICK


@pytest.mark.parametrize(
    "beside", [{}, {"ttclid": CLICK}, {"email": "jane.roe@example.com"}], ids=str
)
@pytest.mark.parametrize(("kind", "platform"), [("fbclid", "meta"), ("ttclid", "tiktok")])
def test_a_click_that_is_named_beside_its_kind_is_a_match_key(
    kind: str, platform: str, beside: dict[str, Any]
) -> None:
    payload = {"event_name": "purchase", "click_ids": [{"type": kind, "value": CLICK}], **beside}

    keys, _ = person_keys(read_payload(payload), platform, "US", "all", event_time=NOW)

    assert CLICK in str(keys["fbc" if kind == "fbclid" else kind])


@pytest.mark.parametrize("click", ["{{gclid}}", "undefined", "", None, 5, ["x"]])
def test_a_placeholder_in_a_list_of_clicks_is_none(click: Any) -> None:
    payload = {
        "event_name": "purchase",
        "click_ids": [{"type": "gclid", "value": click}, "x", None],
    }

    assert "gclid" not in read_payload(payload).clicks()


def test_an_address_within_an_address_within_one_is_not_looked_into() -> None:
    url = "?a=" * 2_000 + f"?gclid={CLICK}"

    assert "gclid" not in read_payload({"event_name": "purchase", "url": url}).clicks()
