"""What an online source or a file says of one address may be absurd: the others have their places.

The answers are generated: a good item of the sandbox's ip-api, spoilt in one place or written in a
way that no JSON reader takes.
"""

from __future__ import annotations

import asyncio
import string
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracking_pipeline import http_client as http
from tracking_pipeline.geo.ip_api import IpApi, read_answer
from tracking_pipeline.geo.ipinfo import read_answer as read_ipinfo_answer
from tracking_pipeline.geo.mmdb import GeoDatabase, GeoDatabaseError, MmdbProvider
from tracking_pipeline.geo.online import Understood
from tracking_pipeline.geo.provider import AskLater, Located
from tracking_pipeline.sandbox.ip_api_rules import IpApiLimits
from tracking_pipeline.sandbox.sample_people import known_place
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.geo.asking import TODAY, Answers, addresses, locate, time_enough
from tracking_pipeline_tests.geo.databases import BERLIN, SAN_JOSE, write_database
from tracking_pipeline_tests.geo.enriching import Enriching, ip_api
from tracking_pipeline_tests.geo.lead_table import LeadTable

CULPRIT = next(each for each in addresses(100) if known_place(each).place)
GOOD = {
    "status": "success",
    "countryCode": "US",
    "regionName": "Texas",
    "city": "Austin",
    "zip": "78701",
    "lat": 30.27,
    "proxy": False,
    "query": CULPRIT,
}
# What is written in the place of a value that the pipeline reads, and is none.
NO_TEXTS = {
    "half a surrogate pair": rb'"Aus\ud83dtin"',
    "the other half": rb'"\udc4dAustin"',
    "no UTF-8": b'"M\xfcnchen"',
    "cut UTF-8": b'"M\xc3"',
    "true": b"true",
    "a fraction": b"1.5",
    "not a number": b"NaN",
    "infinity": b"-Infinity",
    "an array": b'["Austin"]',
    "an object": b'{"en": "Austin"}',
    "too many digits": b"9" * 5000,
}
READ_FIELDS = ("city", "regionName", "zip", "countryCode")
# What no reader takes: the body is broken wherever the address is in it.
NO_JSON = {
    "cut": orjson.dumps(GOOD)[:40],
    "cut in an escape": rb'{"status": "success", "city": "\ud83',
    "a control character": b'{"status": "success", "city": "Aus\x00tin"}',
    "too deep": b"[" * 200_000,
    "no JSON": b"<b>502</b>",
    "too long": b'{"city": "%s"}' % (b"A" * http.MOST_ANSWER_BYTES),
    "one bracket too many": b"{}]",
}
# An item that is JSON, and says nothing of the address.
NO_ITEMS = {
    "null": b"null",
    "a number": b"7",
    "an array": b"[]",
    "an empty object": b"{}",
    "without a status": orjson.dumps({"query": CULPRIT, "city": "Austin"}),
    "of another address": orjson.dumps({**GOOD, "query": "192.0.2.1"}),
    "a status of another type": orjson.dumps({**GOOD, "status": ["success"]}),
    "a query of another type": orjson.dumps({**GOOD, "query": {"ip": CULPRIT}}),
}


def written(field: str, value: bytes) -> bytes:
    """The good item with that in the place of one field's value."""
    said = {name: orjson.dumps(each) for name, each in GOOD.items()} | {field: value}
    return b"{%s}" % b",".join(b'"%s":%s' % (name.encode(), each) for name, each in said.items())


def absurd() -> Iterator[tuple[str, bytes]]:
    for field in READ_FIELDS:
        yield from ((f"{field}: {name}", written(field, value)) for name, value in NO_TEXTS.items())
    yield from NO_ITEMS.items()


ABSURD = dict(absurd())


def ask(database_url: str, sandbox: Sandbox, asked: list[str]) -> Answers:
    [found] = locate(
        database_url,
        lambda client, pool: IpApi(
            client, pool, url=sandbox.ip_api_url, today=TODAY, seconds_left=time_enough
        ),
        asked,
    )
    return found


def assert_only_the_culprit_waits(found: Answers, asked: list[str]) -> None:
    assert found.keys() == set(asked)
    assert {address for address, answer in found.items() if isinstance(answer, AskLater)} == {
        CULPRIT
    }
    for address in set(asked) - {CULPRIT}:
        answer = found[address]
        assert isinstance(answer, Located)
        assert answer.place.country == known_place(address).country


@pytest.mark.parametrize("item", ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_item_costs_its_own_address_and_no_request_more(item: bytes) -> None:
    good = [orjson.dumps({**GOOD, "query": each}) for each in addresses(100) if each != CULPRIT]
    body = b"[%s]" % b",".join([*good[:40], item, *good[40:]])
    verdict = read_answer(http.Answer(200, {}, body), addresses(100))
    assert isinstance(verdict, Understood)
    later = {each for each, answer in verdict.answers.items() if isinstance(answer, AskLater)}
    assert later == {CULPRIT}


@pytest.mark.parametrize("field", ["lat", "lon", "isp"])
@pytest.mark.parametrize("value", NO_TEXTS.values(), ids=NO_TEXTS.keys())
def test_what_nobody_reads_may_be_absurd(field: str, value: bytes) -> None:
    body = b"[%s]" % written(field, value)
    verdict = read_answer(http.Answer(200, {}, body), [CULPRIT])
    assert isinstance(verdict, Understood)
    assert isinstance(verdict.answers[CULPRIT], Located)


@pytest.mark.parametrize("item", NO_JSON.values(), ids=NO_JSON.keys())
def test_an_address_that_spoils_the_whole_answer_is_found_by_halves_within_the_limits(
    database_url: str, sandbox: Sandbox, item: bytes
) -> None:
    sandbox.ip_api.limits = IpApiLimits(batch_requests=9, window_seconds=0.4)
    sandbox.ip_api.written_as = {CULPRIT: item}
    asked = addresses(150)
    assert_only_the_culprit_waits(ask(database_url, sandbox, asked), asked)
    assert sandbox.memory.violations == []
    # A hundred in halves down to one, and the fifty that were in another request.
    assert len(sandbox.memory.requests) <= 1 + 2 * 7 + 1


def test_three_addresses_that_spoil_the_answer_are_all_found(
    database_url: str, sandbox: Sandbox
) -> None:
    sandbox.ip_api.limits = IpApiLimits(batch_requests=50, window_seconds=1)
    asked = addresses(100)
    culprits = {asked[0], asked[25], asked[99]}
    sandbox.ip_api.written_as = dict.fromkeys(culprits, NO_JSON["cut"])
    found = ask(database_url, sandbox, asked)
    assert {
        address for address, answer in found.items() if isinstance(answer, AskLater)
    } == culprits
    assert sandbox.memory.violations == []


def test_the_leads_of_all_other_addresses_have_their_places_after_the_same_run(
    leads: LeadTable, database_url: str, sandbox: Sandbox
) -> None:
    sandbox.ip_api.written_as = {CULPRIT: ABSURD["city: half a surrogate pair"]}
    by_address = {each: leads.add(client_ip=each) for each in addresses(100)}
    totals = Enriching(database_url, ip_api(sandbox)).run()
    assert totals.enriched == 99
    assert leads.statuses() == {"ok": 99, "error": 1}
    assert leads.row(by_address[CULPRIT])["geo_status"] == "error"
    assert len(sandbox.memory.requests) == 1


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_the_bytes_are_each_address_has_an_answer_or_all_are_asked_again(
    data: st.DataObject,
) -> None:
    asked = addresses(3)
    body = bytearray(orjson.dumps([{**GOOD, "query": each} for each in asked]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([rb"\ud83d", b"NaN", b"[", b'"', b"}"])
        )
    for read in (read_answer, read_ipinfo_answer):
        verdict = read(http.Answer(200, {}, bytes(body)), asked)
        if isinstance(verdict, Understood):
            assert verdict.answers.keys() == set(asked)


@pytest.mark.parametrize("value", NO_TEXTS.values(), ids=NO_TEXTS.keys())
@pytest.mark.parametrize("field", ["city", "region", "postal_code", "geo"])
def test_ipinfo_too_places_all_but_the_absurd(field: str, value: bytes) -> None:
    geo = {"city": "Austin", "region": "Texas", "postal_code": "78701", "country_code": "US"}
    good = orjson.dumps({"geo": geo})
    said = {name: orjson.dumps(each) for name, each in geo.items()} | {field: value}
    item = b'{"geo": {%s}}' % b",".join(b'"%s":%s' % (n.encode(), v) for n, v in said.items())
    if field == "geo":
        item = b'{"geo": %s}' % value
        if value.startswith(b"{"):
            return
    body = b'{"8.8.8.8": %s, "%s": %s}' % (good, CULPRIT.encode(), item)
    verdict = read_ipinfo_answer(http.Answer(200, {}, body), ["8.8.8.8", CULPRIT])
    assert isinstance(verdict, Understood)
    assert isinstance(verdict.answers["8.8.8.8"], Located)
    assert isinstance(verdict.answers[CULPRIT], AskLater)


NAMES = [f"Xanadu{letter}" for letter in string.ascii_lowercase]
NETWORKS = [f"81.2.{number}.0/24" for number in range(len(NAMES))]


@pytest.mark.parametrize("culprit", [0, 13, 25])
@pytest.mark.parametrize(
    "spoilt",
    [b"\x47Xana\xff\xff", b"\x07Xanadu", b"\xa7Xanadu"],
    ids=["no UTF-8", "no type", "int"],
)
def test_a_broken_record_of_a_file_costs_its_own_network(
    tmp_path: Path, culprit: int, spoilt: bytes
) -> None:
    records = {
        network: {**BERLIN, "city": {"names": {"en": name}}}
        for network, name in zip(NETWORKS, NAMES, strict=True)
    }
    path = write_database(tmp_path / "places.mmdb", records)
    content = path.read_bytes()
    whole = b"\x47" + NAMES[culprit].encode()
    assert content.count(whole) == 1
    path.write_bytes(content.replace(whole, spoilt + whole[len(spoilt) :]))
    provider = MmdbProvider(path)
    asked = [network.replace("0/24", "7") for network in NETWORKS]
    found = asyncio.run(provider.locate(asked))
    placed = [
        address
        for address, answer in found.items()
        if isinstance(answer, Located) and answer.place.city
    ]
    assert placed == [address for number, address in enumerate(asked) if number != culprit]
    if asked[culprit] not in found:
        assert "is damaged" in (provider.refusal or "")


def test_a_file_without_one_readable_place_is_damaged(tmp_path: Path) -> None:
    path = write_database(tmp_path / "places.mmdb", {"81.2.69.0/24": SAN_JOSE})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"San Jose", b"San Jos\xff"))
    with pytest.raises(GeoDatabaseError, match="is damaged"):
        GeoDatabase.open(path)
