"""The hashes that Meta publishes on "Customer Information Parameters", by their first digits."""

from __future__ import annotations

import unicodedata
from hashlib import sha256

import pytest

from tracking_pipeline.identity import match_keys, normalize

VECTORS = [
    ("em", "John_Smith@gmail.com", "john_smith@gmail.com", "62a14e44"),
    ("ph", "(650) 555-1212", "16505551212", "e323ec62"),
    ("fn", "Mary", "mary", "6915771b"),
    ("fn", "정", "정", "8fa8cd9c"),
    ("fn", "Valéry", "valéry", "08e1996b"),
    ("db", "2/16/1997", "19970216", "01acdbf6"),
    ("country", "United States", "us", "79adb2a2"),
]


@pytest.mark.parametrize(("key", "typed", "hashed_text", "published"), VECTORS)
def test_a_published_hash_comes_out(key: str, typed: str, hashed_text: str, published: str) -> None:
    digest = sha256(hashed_text.encode()).hexdigest()
    assert digest.startswith(published)
    assert normalize(key, typed) == hashed_text
    assert match_keys({key: typed}) == {key: digest}


@pytest.mark.parametrize(("key", "typed", "hashed_text", "published"), VECTORS)
def test_a_decomposed_spelling_has_the_published_hash_too(
    key: str, typed: str, hashed_text: str, published: str
) -> None:
    digest = match_keys({key: unicodedata.normalize("NFD", typed)})[key]
    assert isinstance(digest, str)
    assert digest.startswith(published)
