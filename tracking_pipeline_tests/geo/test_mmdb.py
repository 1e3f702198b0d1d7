from __future__ import annotations

import asyncio
import os
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tracking_pipeline.geo.mmdb import GeoDatabase, GeoDatabaseError, MmdbProvider
from tracking_pipeline.geo.place import Place
from tracking_pipeline.geo.provider import NOWHERE, Answer, Located
from tracking_pipeline_tests.geo.databases import (
    BERLIN,
    MIDDLE_OF_THE_US,
    SAN_JOSE,
    WELL_KNOWN,
    write_database,
)

ADDRESS = "81.2.69.160"
NETWORK = "81.2.69.0/24"
PLACE_IN_SAN_JOSE = Place(city="San Jose", state="California", state_code="CA", country="US")
PLACE_IN_BERLIN = Place(
    city="Berlin", state="State of Berlin", state_code="BE", zip="10115", country="DE"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "places.mmdb"


def ask(provider: MmdbProvider, *addresses: str) -> dict[str, Answer]:
    return asyncio.run(provider.locate(addresses or (ADDRESS,)))


def look_up(path: Path, record: dict[str, Any], kind: str) -> Answer:
    database = GeoDatabase.open(write_database(path, {NETWORK: record}, kind=kind))
    try:
        return database.look_up(ADDRESS)
    finally:
        database.close()


@pytest.mark.parametrize(
    ("kind", "record", "place"),
    [
        ("DBIP-City-Lite", SAN_JOSE, PLACE_IN_SAN_JOSE),
        ("GeoLite2-City", BERLIN, PLACE_IN_BERLIN),
        (
            "ip-location-db dbip-city",
            {"country_code": "US", "state1": "California", "state2": "Santa Clara",
             "city": "San Jose (Downtown)", "postcode": "", "latitude": "", "timezone": ""},
            PLACE_IN_SAN_JOSE,
        ),
        (
            "ipinfo standard_location.mmdb",
            {"city": "Berlin", "region": "State of Berlin", "region_code": "BE",
             "country": "Germany", "country_code": "DE", "postal_code": "10115"},
            PLACE_IN_BERLIN,
        ),
        (
            "ipinfo location.mmdb",
            {"city": "San Jose", "region": "California", "country": "US", "postal": "95103"},
            Place(city="San Jose", state="California", state_code="CA", zip="95103", country="US"),
        ),
        (
            "ipinfo bundle_location_lite.mmdb",
            {"country": "Germany", "country_code": "DE", "continent": "Europe", "asn": "AS3320"},
            Place(country="DE"),
        ),
    ],
)  # fmt: skip
def test_each_publishers_records_are_read(
    path: Path, kind: str, record: dict[str, Any], place: Place
) -> None:
    assert look_up(path, record, kind) == Located(place)


def test_the_middle_of_a_country_is_nobodys_city(path: Path) -> None:
    assert look_up(path, MIDDLE_OF_THE_US, "GeoLite2-City") == Located(Place(country="US"))


@pytest.mark.parametrize(("said", "hosting"), [(True, True), ("true", True), (False, False)])
def test_an_address_in_a_data_centre_is_marked(path: Path, said: object, hosting: bool) -> None:
    record = {"city": "Berlin", "country_code": "DE", "is_hosting": said}
    assert look_up(path, record, "ipinfo") == Located(Place("Berlin", country="DE"), hosting)


@pytest.mark.parametrize("trait", ["is_hosting_provider", "is_anonymous_vpn", "is_tor_exit_node"])
def test_what_maxmind_says_of_an_address_is_heard(path: Path, trait: str) -> None:
    record = {"country": {"iso_code": "DE"}, "traits": {trait: True}}
    assert look_up(path, record, "GeoIP2-Enterprise") == Located(Place(country="DE"), hosting=True)
    record["traits"] = {trait: False, "is_satellite_provider": True}
    assert look_up(path, record, "GeoIP2-Enterprise") == Located(Place(country="DE"))


def test_a_record_of_odd_types_is_no_place_and_no_fault(path: Path) -> None:
    odd = {"city": ["Berlin"], "country": {"iso_code": 49}, "subdivisions": ["BE"], "postal": {}}
    write_database(path, {NETWORK: odd, "8.8.8.0/24": SAN_JOSE})
    assert ask(MmdbProvider(path)) == {ADDRESS: NOWHERE}


def test_a_batch_has_one_answer_for_each_address(path: Path) -> None:
    write_database(path, {"81.2.69.0/25": SAN_JOSE, "81.2.69.128/25": BERLIN}, ip_version=6)
    answers = ask(MmdbProvider(path), "81.2.69.1", ADDRESS, "9.9.9.9", "2001:4860:4860::8888")
    assert answers == {
        "81.2.69.1": Located(PLACE_IN_SAN_JOSE),
        ADDRESS: Located(PLACE_IN_BERLIN),
        "9.9.9.9": NOWHERE,
        "2001:4860:4860::8888": NOWHERE,
    }


def test_an_ipv6_address_is_nowhere_in_an_ipv4_file(path: Path) -> None:
    write_database(path, {NETWORK: SAN_JOSE}, ip_version=4)
    answers = ask(MmdbProvider(path), "2001:4860:4860::8888", ADDRESS)
    assert answers == {
        "2001:4860:4860::8888": NOWHERE,
        ADDRESS: Located(PLACE_IN_SAN_JOSE),
    }


def test_an_ipv4_address_is_nowhere_in_an_ipv6_only_file(path: Path) -> None:
    write_database(path, {"2001:4860::/32": SAN_JOSE}, ip_version=6)
    answers = ask(MmdbProvider(path), "2001:4860:4860::8888", ADDRESS)
    assert answers == {"2001:4860:4860::8888": Located(PLACE_IN_SAN_JOSE), ADDRESS: NOWHERE}


def test_the_source_names_the_database_and_its_build(path: Path) -> None:
    write_database(path, {NETWORK: BERLIN}, kind="GeoLite2-City", built=date(2026, 10, 30))
    provider = MmdbProvider(path)
    ask(provider)
    assert provider.source == "mmdb geolite2-city 2026-10"
    assert provider.name == "mmdb"


def test_a_file_that_is_renamed_into_place_serves_the_next_batch(path: Path) -> None:
    write_database(path, {NETWORK: SAN_JOSE}, built=date(2026, 10, 1))
    provider = MmdbProvider(path)
    assert ask(provider) == {ADDRESS: Located(PLACE_IN_SAN_JOSE)}
    newer = write_database(path.with_suffix(".new"), {NETWORK: BERLIN}, built=date(2026, 11, 1))
    newer.replace(path)
    assert ask(provider) == {ADDRESS: Located(PLACE_IN_BERLIN)}
    assert provider.source == "mmdb dbip-city-lite 2026-11"


def test_a_file_cut_short_under_an_open_database_ends_no_process(path: Path) -> None:
    database = GeoDatabase.open(write_database(path, WELL_KNOWN | {NETWORK: SAN_JOSE}))
    os.truncate(path, 0)
    assert database.look_up(ADDRESS) == Located(PLACE_IN_SAN_JOSE)
    database.close()


def test_a_file_cut_short_during_a_run_is_refused_until_it_is_whole_again(path: Path) -> None:
    whole = write_database(path, WELL_KNOWN | {NETWORK: SAN_JOSE}).read_bytes()
    provider = MmdbProvider(path)
    assert ask(provider) == {ADDRESS: Located(PLACE_IN_SAN_JOSE)}
    os.truncate(path, len(whole) // 2)
    assert ask(provider) == {}
    assert "no whole MMDB file" in (provider.refusal or "")
    assert provider.source == "mmdb"
    path.write_bytes(whole)
    assert ask(provider) == {ADDRESS: Located(PLACE_IN_SAN_JOSE)}
    assert provider.refusal is None


def test_a_file_that_appears_later_serves_from_then_on(path: Path) -> None:
    provider = MmdbProvider(path)
    assert ask(provider) == {}
    # A download goes elsewhere while the setting stands.
    assert "geo update` does, unless GEO_MMDB_PATH is set" in (provider.refusal or "")
    write_database(path, {NETWORK: SAN_JOSE})
    assert ask(provider) == {ADDRESS: Located(PLACE_IN_SAN_JOSE)}


def _cut_by(share: float) -> Any:
    return lambda content: content[: int(len(content) * share)]


@pytest.mark.parametrize(
    "spoil",
    [
        _cut_by(0),
        _cut_by(0.5),
        _cut_by(0.97),
        lambda content: b"\0" * len(content),
        lambda content: b"<html>not found</html>",
        lambda content: content[: len(content) // 3] + content[content.rindex(b"\xab\xcd\xef") :],
    ],
    ids=["empty", "half", "nearly whole", "zeros", "html", "a hole before the metadata"],
)
def test_a_spoilt_file_is_refused_in_one_line_that_names_it(path: Path, spoil: Any) -> None:
    whole = write_database(path, WELL_KNOWN | {NETWORK: BERLIN}).read_bytes()
    path.write_bytes(spoil(whole))
    with pytest.raises(GeoDatabaseError) as refused:
        GeoDatabase.open(path)
    message = str(refused.value)
    assert str(path) in message
    assert "\n" not in message
    assert ADDRESS not in message


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("GeoLite2-ASN", {"autonomous_system_number": 3320, "autonomous_system_organization": "T"}),
        ("GeoIP2-Anonymous-IP", {"is_anonymous": True}),
    ],
)
def test_a_database_of_something_else_is_refused_by_its_name(
    path: Path, kind: str, record: dict[str, Any]
) -> None:
    write_database(path, {NETWORK: record}, kind=kind)
    with pytest.raises(GeoDatabaseError, match=f"a {kind} file.*city database"):
        GeoDatabase.open(path)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(GeoDatabaseError, match="cannot be read"):
        GeoDatabase.open(tmp_path)


def test_tasks_that_ask_at_once_while_the_file_changes_all_have_answers(path: Path) -> None:
    write_database(path, {NETWORK: SAN_JOSE})
    newer = write_database(path.with_suffix(".new"), {NETWORK: BERLIN})

    async def run() -> list[dict[str, Answer]]:
        provider = MmdbProvider(path)
        first = [asyncio.create_task(provider.locate([ADDRESS])) for _ in range(8)]
        await asyncio.sleep(0)
        newer.replace(path)
        second = [asyncio.create_task(provider.locate([ADDRESS])) for _ in range(8)]
        return [await task for task in (*first, *second)]

    answers = [answer[ADDRESS] for answer in asyncio.run(run())]
    assert all(isinstance(answer, Located) for answer in answers)
    assert answers[-1] == Located(PLACE_IN_BERLIN)


def test_no_copy_of_the_file_is_left_over(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    provider = MmdbProvider(write_database(path, {NETWORK: SAN_JOSE}))
    assert ask(provider) == {ADDRESS: Located(PLACE_IN_SAN_JOSE)}
    assert list(copies.iterdir()) == []
    provider.close()
    path.write_bytes(b"nothing")
    assert ask(provider) == {}
    assert list(copies.iterdir()) == []
