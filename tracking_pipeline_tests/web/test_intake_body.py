"""A posted body as JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.web.intake.router import read_body

TEXTS = st.text(st.characters(codec=None, categories=None), max_size=20)


@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_any_text_of_a_browser_is_read_without_nul_and_with_lone_surrogates_replaced(
    said: dict[str, str],
) -> None:
    def whole(text: str) -> str:
        paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        kept = paired.replace("\0", "")
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in kept)

    body = json.dumps(said).encode()

    assert read_body(body) == {whole(key): whole(value) for key, value in said.items()}


def test_a_nul_is_left_out_and_an_escaped_backslash_is_none() -> None:
    assert read_body(b'["a\\u0000b", "\\\\u0000", {"\\u0000": "\\\\\\u0000"}]') == [
        "ab",
        "\\u0000",
        {"": "\\"},
    ]


def test_an_escaped_backslash_is_no_surrogate() -> None:
    assert read_body(b'["\\\\ud83d", "\\ud83d", "\\ud83d\\ude00"]') == [
        "\\ud83d",
        "\ufffd",
        "\U0001f600",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b'["\\ud83d"',
        b'["\\ud83d", NaN]',
        b'["\\udzzz"]',
        b'["\\ud83d",' + b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        read_body(body)
