from __future__ import annotations

import pytest

from tracking_pipeline.identity import match_keys, normalize

FBP = "fb.1.1596403881668.1116446470"
FBC = "fb.1.1554763741205.AbCdEfGhIjKlMnOpQrStUvWxYz1234567890"


@pytest.mark.parametrize(
    "fbp",
    [FBP, "fb.2.1596403881668.1116446470", FBP + ".AQYBAQAA", FBP + ".BQ", "fb.0.1596403881.1"],
)
def test_a_browser_id_is_sent_as_it_is(fbp: str) -> None:
    assert normalize("fbp", fbp) == fbp
    assert normalize("fbp", f" {fbp}\n") == fbp
    assert match_keys({"fbp": fbp}) == {"fbp": fbp}


@pytest.mark.parametrize(
    "fbc", [FBC, FBC + ".AQYBAQAA", "fb.1.1554763741205.IwAR2F4-dbP0l7Mn1Iaw_x"]
)
def test_a_click_id_keeps_its_case(fbc: str) -> None:
    assert normalize("fbc", fbc) == fbc
    assert normalize("fbc", fbc.lower()) == fbc.lower()
    assert match_keys({"_fbc": fbc}) == {"fbc": fbc}


@pytest.mark.parametrize("key", ["fbp", "fbc"])
@pytest.mark.parametrize(
    "value",
    ["", "fb", "fb.1", "fb.1.1596403881668", "fb.1.1596403881668.", "fb.1.abc.1116446470",
     "fb.x.1596403881668.1116446470", "FB.1.1596403881668.1116446470", "fb.1.159.1116446470",
     "fb 1 1596403881668 1116446470", "fb.1.1596403881668.11 16", "GA1.2.1116446470.1596403881",
     "fb.1.1596403881668.undefined", "fb.1.1596403881668.null", "null", 5, True, None, [], {}],
)  # fmt: skip
def test_what_has_another_form_is_left_out(key: str, value: object) -> None:
    assert normalize(key, value) is None


@pytest.mark.parametrize(
    "event_time",
    [1700000000, "1700000000", 1700000000.0, 1700000000000, 1700000000000000,
     "2023-11-14T22:13:20Z", "2023-11-14T22:13:20+00:00", "2023-11-14 23:13:20+01:00"],
)  # fmt: skip
def test_a_click_without_a_cookie_takes_the_time_of_its_event(event_time: object) -> None:
    payload = {"event_time": event_time, "fbclid": "IwAR2F4"}
    assert match_keys(payload) == {"fbc": "fb.1.1700000000000.IwAR2F4"}


def test_a_click_is_found_in_the_landing_address() -> None:
    address = "https://shop.example/?utm_source=fb&fbclid=IwAR2F4-x_Y&a=b"
    payload = {"event_time": 1700000000, "event_source_url": address}
    assert match_keys(payload) == {"fbc": "fb.1.1700000000000.IwAR2F4-x_Y"}


@pytest.mark.parametrize("event_time", [None, "", "soon", 17, True, [], "2023-99-99"])
def test_a_click_without_a_time_is_not_given_a_new_one_at_every_try(event_time: object) -> None:
    assert match_keys({"event_time": event_time, "fbclid": "IwAR2F4"}) == {}


def test_a_cookie_comes_before_a_click_rebuilt() -> None:
    payload = {"event_time": 1700000000, "fbclid": "IwAR2F4", "metadata": {"fbc": FBC}}
    assert match_keys(payload) == {"fbc": FBC}


@pytest.mark.parametrize("key", ["fbp", "fbc"])
def test_google_has_no_room_for_the_ids_of_meta(key: str) -> None:
    assert normalize(key, FBP, "google") is None
