from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.delivery.engine.redaction import LONGEST_MESSAGE, redact

TOKEN = "EAABsbCS1iHgBAKZC" + "x7Qm" * 20


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        ("Malformed access token EAAB.shorter|one", "EAAB.shorter|one"),
        (f"Cannot parse {TOKEN}", TOKEN),
        ("https://g.example/events?access_token=abc123&x=1", "abc123"),
        ("https://g.example/mp/collect?api_secret=s3cr3t", "s3cr3t"),
        ("access_token%3Dabc123", "abc123"),
        ('{"access_token": "abc123"}', "abc123"),
        ("{'token': 'abc123'}", "abc123"),
        ("appsecret_proof=0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_no_secret_is_left(message: str, secret: str) -> None:
    assert secret not in redact(message, "EAAB.shorter|one")


def test_a_secret_of_ours_is_found_wherever_it_stands() -> None:
    assert "hunter2" not in redact("prefix-hunter2-suffix", "hunter2", "")


@pytest.mark.parametrize(
    ("message", "canary"),
    [
        ("Invalid e-mail jane.roe@example.com.", "jane.roe"),
        ("Invalid e-mail <jane.roe+tag@example.co.uk>", "jane.roe"),
        ("url https://shop.example/?email=jane.roe%40example.com", "jane.roe"),
        ("phone +16505551212", "5551212"),
        ("phone +1 (650) 555-1212 is wrong", "1212"),
        ("phone (650) 555-1212", "1212"),
        ("phone 650-555-1212", "1212"),
        ("phone 650.555.1212", "1212"),
        ("phone 0151 / 123 456 78", "456"),
        ("address 203.0.113.77", "203.0.113.77"),
        ("from 8.8.8.8.", "8.8.8.8"),
        ("from 8.8.8.8:443", "8.8.8.8"),
        ("from 2001:db8:85a3::8a2e:370:7334", "7334"),
        ("from 2a00::1 today", "2a00::1"),
        ("hash " + hashlib.sha256(b"jane").hexdigest(), hashlib.sha256(b"jane").hexdigest()),
        ("md5 5f4dcc3b5aa765d61d8327deb882cf99", "5f4dcc3b5aa765d61d8327deb882cf99"),
    ],
)
def test_no_personal_data_is_left(message: str, canary: str) -> None:
    assert canary not in redact(message)


@pytest.mark.parametrize(
    "message",
    [
        "Invalid parameter: data[3][custom_data][value] must be a number",
        "(#100) Missing parameter, error 2804050",
        "Unsupported get request. Object with ID 1234567 does not exist",
        "event 0b7c0a52-6a1e-4f0e-9a39-0d8a4c0f5a11 was refused",
        "std::string at 12:30:45",
    ],
)
def test_what_an_operator_needs_to_see_stays(message: str) -> None:
    assert redact(message) == message


@settings(deadline=None, database=None)
@given(st.text(st.characters(), max_size=600))
def test_a_message_is_one_short_line_that_can_be_stored(message: str) -> None:
    line = redact(message)

    assert len(line) <= LONGEST_MESSAGE
    assert not re.search(r"[\x00-\x1f\x7f]", line)
    line.encode()


@settings(deadline=None, database=None)
@given(
    st.text(st.sampled_from("abc =:,'\"<>&\n\x00é"), max_size=40),
    st.text(st.sampled_from("abc =:,'\"<>&\n\x00é"), max_size=40),
)
def test_an_address_is_found_between_any_neighbours(before: str, after: str) -> None:
    assert "jane.roe@" not in redact(f"{before} jane.roe@example.com {after}")


def test_a_message_of_a_megabyte_takes_no_time_to_speak_of() -> None:
    assert len(redact("1 2-3." * 200_000)) <= LONGEST_MESSAGE
    assert len(redact("a" * 1_000_000 + "@")) <= LONGEST_MESSAGE
