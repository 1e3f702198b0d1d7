"""What the platforms publish of their rules: texts, and hashes by their first digits.

Meta: "Customer Information Parameters". Snapchat: Conversions API, "Parameters". Reddit:
Conversions API v3, "Advanced matching".
"""

from __future__ import annotations

import unicodedata
from hashlib import sha256

import pytest

from tracking_pipeline.identity import match_keys, normalize
from tracking_pipeline.identity.platforms import PLATFORMS

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


OF_OTHERS = [
    ("snapchat", "em", " Person@Example.com ", "person@example.com", "542d240129883c01"),
    ("snapchat", "ph", "+44 844 412 4653", "448444124653", ""),
    ("snapchat", "fn", "John", "john", "96d9632f363564cc"),
    ("snapchat", "fn", "Raphaël", "raphaël", ""),
    ("reddit", "em", "Al.ice$+Apple@Example.Com", "alice@example.com", "ff8d9819"),
    ("tiktok", "ph", "+1 (650) 555-1212", "+16505551212", ""),
    ("linkedin", "em", " Jane@Example.com", "jane@example.com", ""),
    ("pinterest", "zp", "94035-1234", "94035", ""),
    ("pinterest", "zp", "1012 AB", "1012", ""),
    ("openai", "em", " Jane@Example.com", "jane@example.com", ""),
    ("microsoft", "em", "Jane.Doe+x@Example.com", "janedoe@example.com", ""),
]


@pytest.mark.parametrize(("platform", "key", "typed", "hashed_text", "published"), OF_OTHERS)
def test_a_published_text_of_another_platform_comes_out(
    platform: str, key: str, typed: str, hashed_text: str, published: str
) -> None:
    digest = sha256(hashed_text.encode()).hexdigest()
    assert digest.startswith(published)
    assert normalize(key, typed, platform) == hashed_text
    made = match_keys({"user_data": {key: typed}}, platform)[key]
    assert (made if isinstance(made, str) else made[0]) == digest


def test_a_destinations_name_stands_for_its_platform() -> None:
    payload = {"email": "Jane.Doe+x@Example.com", "phone": "+16505551212", "_ttp": "ttp-1"}
    for name, platform in (
        ("meta_capi", "meta"),
        ("google_ec", "google"),
        ("gtm_server", "google"),
        ("tiktok_events", "tiktok"),
        ("linkedin_capi", "linkedin"),
        ("pinterest_capi", "pinterest"),
        ("snapchat_capi", "snapchat"),
        ("microsoft_uet", "microsoft"),
        ("reddit_capi", "reddit"),
        ("openai_ads", "openai"),
    ):
        assert match_keys(payload, name) == match_keys(payload, platform) != {}


OF_PLATFORMS = [
    ("tiktok", "ttclid", "ttclid", "E.C.P.abc"),
    ("tiktok", "ttp", "_ttp", "2aBcDeF"),
    ("linkedin", "li_fat_id", "li_fat_id", "0f2b7b1e-3a4c-4f7d-9d61-1f6a4d2c9c11"),
    ("pinterest", "epik", "_epik", "dj0yJnU9b2JDcFFH"),
    ("snapchat", "sccid", "ScCid", "c0ffee-42"),
    ("snapchat", "scid", "_scid", "5e7a-11"),
    ("microsoft", "msclkid", "msclkid", "abc123"),
    ("microsoft", "uetvid", "_uetvid", "9b7c1d"),
    ("reddit", "rdt_cid", "rdt_cid", "3184742045291813272"),
    ("reddit", "rdt_uuid", "_rdt_uuid", "1684189007728.7c73c0a1"),
    ("openai", "oppref", "__oppref", "oppref_abc"),
]


@pytest.mark.parametrize(("platform", "key", "name", "value"), OF_PLATFORMS)
def test_a_platforms_own_id_is_read_wherever_it_is_kept(
    platform: str, key: str, name: str, value: str
) -> None:
    for payload in (
        {name: value},
        {"user_data": {name: value}},
        {"cookies": {name: value}},
        {"headers": {"cookie": f"a=b; {name}={value}"}},
    ):
        assert match_keys(payload, platform) == {key: value}
        assert key not in match_keys(payload, "meta")
    if not name.startswith("_"):
        url = {"event_source_url": f"https://shop.example/?x=1&{name}={value}"}
        assert match_keys(url, platform) == {key: value}


def test_the_prefix_of_microsofts_cookie_goes() -> None:
    assert match_keys({"cookies": {"_uetmsclkid": "_uetabc123"}}, "microsoft") == {
        "msclkid": "abc123"
    }


def test_metas_hash_of_a_phone_serves_nobody_who_hashes_the_plus() -> None:
    metas = sha256(b"16505551212").hexdigest()
    googles = sha256(b"+16505551212").hexdigest()
    for platform, rules in PLATFORMS.items():
        if "ph" not in rules:
            continue
        found = match_keys({"ph": metas, "sha256_phone_number": googles}, platform)["ph"]
        with_plus = rules["ph"].hashes_of == "google"
        assert found == (googles if with_plus else metas)
        assert ("ph" in match_keys({"ph": metas}, platform)) is not with_plus
