from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.identity import normalize
from tracking_pipeline.identity.email import _ADDRESS, _LONGEST_PLAIN, PLAIN_ADDRESS

BOTH = [
    ("jane@example.com", "jane@example.com"),
    ("  Jane@Example.COM \t", "jane@example.com"),
    ("JANE.DOE@EXAMPLE.COM", "jane.doe@example.com"),
    ("jane+news@example.com", "jane+news@example.com"),
    ("\u00a0jane@example.com\u00a0", "jane@example.com"),
    ("\ufeffjane@example.com", "jane@example.com"),
    ("jane\u200b@example.com", "jane@example.com"),
    ("\u202ajane@example.com\u202c", "jane@example.com"),
    ("mailto:Jane@Example.com", "jane@example.com"),
    ("Jane Doe <jane@example.com>", "jane@example.com"),
    ("<jane@example.com>", "jane@example.com"),
    ("o'neil@example.com", "o'neil@example.com"),
    ("jane_doe-1@sub.example.co.uk", "jane_doe-1@sub.example.co.uk"),
    ("jane@müller.de", "jane@müller.de"),
    ("JANE@MÜLLER.DE", "jane@müller.de"),
    ("jane@xn--mller-kva.de", "jane@xn--mller-kva.de"),
    ("josé@example.com", "josé@example.com"),
    ("用户@例子.公司", "用户@例子.公司"),
    ("a@b.co", "a@b.co"),
    ("1@2.io", "1@2.io"),
    ("jane@example.museum", "jane@example.museum"),
    ("x" * 64 + "@example.com", "x" * 64 + "@example.com"),
]


@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize(("typed", "address"), BOTH)
def test_an_address_is_trimmed_and_lower_cased(typed: str, address: str, platform: str) -> None:
    assert normalize("em", typed, platform) == address


NEITHER = [
    "", " ", "jane", "jane@", "@example.com", "jane@example", "jane@@example.com", "a@b@c.com",
    "jane@example.com.", "jane@.example.com", "jane@example..com", ".jane@example.com",
    "jane.@example.com", "ja..ne@example.com", "jane@-example.com", "jane@example-.com",
    "jane@exa_mple.com", "jane@127.0.0.1", "jane@example.123", "jane@example.com, joe@example.com",
    "jane@example.com;joe@example.com", "jane(work)@example.com", "jane@example,com",
    "n/a", "null", "undefined", "none", "(not set)", "-", "16505551212", "http://example.com/@jane",
    "x" * 65 + "@example.com", "jane@" + "x" * 64 + ".com", "jane@" + "abc." * 70 + "com",
    "\ud800@example.com",
]  # fmt: skip


@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize("typed", NEITHER)
def test_what_is_no_address_is_left_out(typed: str, platform: str) -> None:
    assert normalize("em", typed, platform) is None


def test_meta_leaves_out_an_address_with_a_space_and_google_removes_the_space() -> None:
    assert normalize("em", "jane doe@example.com", "meta") is None
    assert normalize("em", "jane doe@example.com", "google") == "janedoe@example.com"


@pytest.mark.parametrize(
    ("typed", "meta", "google"),
    [
        ("j.a.n.e@gmail.com", "j.a.n.e@gmail.com", "jane@gmail.com"),
        ("Jane+Shop@Gmail.com", "jane+shop@gmail.com", "jane@gmail.com"),
        ("j.ane+a+b@gmail.com", "j.ane+a+b@gmail.com", "jane@gmail.com"),
        ("j.ane@googlemail.com", "j.ane@googlemail.com", "jane@googlemail.com"),
        ("j.ane+x@mygmail.com", "j.ane+x@mygmail.com", "j.ane+x@mygmail.com"),
        ("j.ane@gmail.com.example.org",) + ("j.ane@gmail.com.example.org",) * 2,
        ("j.ane@example.com",) + ("j.ane@example.com",) * 2,
        ("+tag@gmail.com", "+tag@gmail.com", None),
    ],
)
def test_only_google_drops_dots_and_tags_and_only_in_gmail(
    typed: str, meta: str, google: str | None
) -> None:
    assert normalize("em", typed, "meta") == meta
    assert normalize("em", typed, "google") == google


# Addresses, and what is nearly one.
ADDRESSES = (
    st.emails().map(str.lower)
    | st.text("ab1._%+-@", max_size=20)
    | (
        st.lists(st.sampled_from(["a", "b1", ".", "-", "_", "+", "@", "com"]), max_size=12).map(
            "".join
        )
    )
)


@settings(deadline=None, max_examples=500)
@given(ADDRESSES)
def test_the_short_way_takes_no_address_that_the_long_way_refuses(text: str) -> None:
    if len(text) <= _LONGEST_PLAIN and PLAIN_ADDRESS.fullmatch(text):
        assert _ADDRESS.fullmatch(text)
