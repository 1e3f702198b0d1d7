from __future__ import annotations

from hashlib import md5, sha1, sha256

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from tracking_pipeline.identity import match_keys, normalize, read_match_keys
from tracking_pipeline.identity.hashing import (
    _HASHES_OF_NOTHING,
    already_hashed,
    is_final_hash,
)
from tracking_pipeline.identity.text import text_of

HASHED = ["em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country", "external_id"]
DIGEST = sha256(b"jane@example.com").hexdigest()


@pytest.mark.parametrize("key", HASHED)
@pytest.mark.parametrize("given", [DIGEST, DIGEST.upper(), f"  {DIGEST}\n", f"\ufeff{DIGEST}"])
def test_a_hash_passes_in_lower_case(key: str, given: str) -> None:
    assert normalize(key, given) == DIGEST
    assert match_keys({key: given}) == {key: DIGEST}


@pytest.mark.parametrize("suffix", [".AQYBAQAA", ".aB-_9zZ0", ".BQ", ".-_"])
def test_the_suffix_of_the_parameter_builder_stays_for_meta_and_goes_for_google(
    suffix: str,
) -> None:
    assert normalize("em", DIGEST.upper() + suffix) == DIGEST + suffix
    assert normalize("em", DIGEST + suffix, "google") == DIGEST
    assert match_keys({"em": DIGEST + suffix}) == {"em": DIGEST + suffix}


@pytest.mark.parametrize(
    "given",
    [DIGEST + ".", DIGEST + ".ABC", DIGEST + "0", DIGEST[1:], DIGEST + ".AQYBAQAA0", "g" * 64],
)
def test_what_is_nearly_a_hash_is_none(given: str) -> None:
    assert normalize("em", given) is None
    assert normalize("ph", given) is None


@pytest.mark.parametrize("key", HASHED)
@pytest.mark.parametrize(
    "nothing",
    ["", " ", "null", "undefined", "none", "n/a", "0", "false", "NaN", "None", "[object Object]"],
)
def test_the_hash_of_nothing_is_left_out(key: str, nothing: str) -> None:
    digest = sha256(nothing.encode()).hexdigest()
    for given in (digest, digest.upper(), digest + ".AQYBAQAA"):
        assert normalize(key, given) is None
    assert read_match_keys({key: digest}).dropped == {(key, "hash of an empty value"): 1}


@pytest.mark.parametrize("key", HASHED)
@pytest.mark.parametrize("digit", ["0", "f", "F"])
def test_one_digit_over_and_over_is_the_hash_of_nobody(key: str, digit: str) -> None:
    assert normalize(key, digit * 64) is None
    assert read_match_keys({key: digit * 64}).keys == {}


@pytest.mark.parametrize("nothing", [0, 0.0, "0", "false", "[object Object]"])
def test_what_a_script_makes_of_nothing_is_no_external_id(nothing: object) -> None:
    assert normalize("external_id", nothing) is None


@pytest.mark.parametrize("key", [key for key in HASHED if key != "external_id"])
@pytest.mark.parametrize("function", [md5, sha1])
def test_a_digest_of_another_kind_is_left_out(key: str, function: type) -> None:
    digest = function(b"jane@example.com").hexdigest()
    assert normalize(key, digest) is None
    assert normalize(key, digest.upper()) is None
    assert read_match_keys({key: digest}).dropped == {(key, "not a SHA-256 hash"): 1}


@pytest.mark.parametrize("key", ["ct", "st", "zp", "client_ip_address", "client_user_agent"])
def test_a_hash_is_no_plain_text_for_google(key: str) -> None:
    assert normalize(key, DIGEST, "google") is None


@pytest.mark.parametrize("key", ["fbp", "fbc", "client_ip_address", "client_user_agent"])
def test_what_meta_wants_raw_is_never_taken_hashed(key: str) -> None:
    assert normalize(key, DIGEST) is None


def test_a_platform_we_do_not_know_is_the_mistake_of_the_caller() -> None:
    for call in (
        lambda: normalize("em", "jane@example.com", "myspace"),
        lambda: match_keys({"em": "jane@example.com"}, "myspace"),
    ):
        with pytest.raises(ValueError, match="unknown platform") as caught:
            call()
        assert "jane" not in str(caught.value)


def test_a_key_we_do_not_know_is_left_out() -> None:
    assert normalize("shoe_size", "44") is None


@settings(deadline=None)
@given_any(
    st.from_regex(r"[0-9a-f]{63,65}", fullmatch=True)
    | st.from_regex(r"[0-9a-fA-F]{64}(\.BQ)?\n?", fullmatch=True)
    | st.sampled_from(sorted(_HASHES_OF_NOTHING))
    | st.text()
)
def test_what_passes_at_a_glance_would_pass_unchanged_on_a_closer_look(text: str) -> None:
    if is_final_hash(text):
        assert text_of(text) == text
        assert already_hashed(text) == already_hashed(text, suffix=False) == text


def test_a_lower_case_hash_passes_at_a_glance_and_the_hash_of_nothing_does_not() -> None:
    assert is_final_hash(DIGEST)
    assert not any(map(is_final_hash, (*_HASHES_OF_NOTHING, DIGEST.upper(), DIGEST + ".BQ", None)))
