"""ipinfo on the sandbox's stand-in, in its three shapes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import httpx
import orjson
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline import http_client as http
from tracking_pipeline.geo.ipinfo import IpInfo, read_answer
from tracking_pipeline.geo.online import Failed, ProviderThrottled, Understood, UnreadableAnswer
from tracking_pipeline.geo.place import Place
from tracking_pipeline.geo.provider import NOWHERE, AskLater, Located
from tracking_pipeline.sandbox.sample_people import known_place
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.geo_providers import GeoProviderState, read_geo_provider_states
from tracking_pipeline_tests.geo.asking import (
    TODAY,
    Answers,
    MakeProvider,
    addresses,
    locate,
    locate_together,
    time_enough,
)

TOKEN = "canaryTOKEN0123456789"


class Workers:
    """Workers of one test, on its database and its sandbox."""

    def __init__(self, database_url: str, sandbox: Sandbox, connection: psycopg.Connection) -> None:
        self.database_url = database_url
        self._sandbox = sandbox
        self._connection = connection

    def maker(self, **changes: Any) -> MakeProvider:
        arguments = {
            "url": self._sandbox.ipinfo_url,
            "token": TOKEN,
            "today": TODAY,
            "seconds_left": time_enough,
            **changes,
        }
        return lambda client, pool: IpInfo(client, pool, **arguments)

    def locate(self, asked: Sequence[str], **changes: Any) -> Answers:
        [found] = locate(self.database_url, self.maker(**changes), asked)
        return found

    @property
    def state(self) -> GeoProviderState:
        return read_geo_provider_states(self._connection)["ipinfo"]


@pytest.fixture
def workers(database_url: str, sandbox: Sandbox, connection: psycopg.Connection) -> Workers:
    return Workers(database_url, sandbox, connection)


def cities(found: Answers) -> dict[str, str | None]:
    return {
        address: answer.place.city
        for address, answer in found.items()
        if isinstance(answer, Located)
    }


def known_cities(asked: Sequence[str]) -> dict[str, str | None]:
    places = {address: known_place(address).place for address in asked}
    return {address: place.city if place else None for address, place in places.items()}


@pytest.mark.parametrize("service", ["", "/batch", "/batch/legacy"])
def test_the_services_that_know_cities_give_the_same_ones(
    workers: Workers, sandbox: Sandbox, service: str
) -> None:
    found = workers.locate(addresses(450), url=sandbox.ipinfo_url + service)
    assert cities(found) == known_cities(addresses(450))
    hosting = {address for address in found if known_place(address).hosting}
    assert {a for a, each in found.items() if isinstance(each, Located) and each.hosting} == hosting
    assert len(sandbox.memory.requests) == 3
    assert sandbox.memory.violations == []


def test_the_free_plan_gives_a_country_and_no_place_in_it(
    workers: Workers, sandbox: Sandbox
) -> None:
    found = workers.locate(["8.8.8.8"], url=sandbox.ipinfo_url + "/batch/lite", token="free-1")
    assert found == {"8.8.8.8": Located(Place(country=known_place("8.8.8.8").country))}


def test_a_token_of_the_free_plan_is_told_where_it_serves(workers: Workers) -> None:
    [later] = workers.locate(["8.8.8.8"], token="free-1").values()
    assert isinstance(later, AskLater)
    assert later.reason.startswith("HTTP 403: check IPINFO_TOKEN")
    assert "/batch/lite" in later.reason
    assert workers.state.failures == 1


def test_the_source_is_named_with_the_day(workers: Workers) -> None:
    provider = workers.maker()(None, None)  # only its name is asked
    assert (provider.name, provider.source) == ("ipinfo", "ipinfo 2026-11-24")


@pytest.mark.parametrize(("retry_after", "seconds"), [("120", 120.0), (None, 3600.0)])
def test_a_used_up_quota_holds_all_workers(
    workers: Workers, sandbox: Sandbox, retry_after: str | None, seconds: float
) -> None:
    sandbox.conditions["ipinfo"].throttle(1, retry_after)
    assert {each.after_seconds for each in workers.locate(addresses(500)).values()} == {seconds}
    again = locate_together(workers.database_url, workers.maker(), addresses(1), addresses(1))
    assert again == [[{}], [{}]]
    assert seconds - 1 < workers.state.held_seconds <= seconds
    assert sandbox.memory.violations == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (500, "HTTP 500"),
        (302, "HTTP 302"),
        ("html", "HTTP 500"),
        ("reset", "no answer (connection)"),
        ("timeout", "no answer (timeout)"),
    ],
)
def test_an_outage_is_ask_later_and_the_rest_is_left_unasked(
    workers: Workers,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    fault: int | str,
    reason: str,
) -> None:
    if fault == "timeout":
        monkeypatch.setattr("tracking_pipeline.http_client.TIMEOUT_SECONDS", 0.5)
    sandbox.conditions["ipinfo"].outage(fault)
    found = workers.locate(addresses(300))
    assert found == dict.fromkeys(addresses(200), AskLater(reason))
    assert len(sandbox.memory.requests) == 1
    assert workers.state.failures == 1


def test_what_is_no_public_address_is_nowhere(workers: Workers) -> None:
    assert workers.locate(["10.0.0.1"]) == {"10.0.0.1": NOWHERE}


def test_the_token_is_told_to_nobody(
    workers: Workers, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.conditions["ipinfo"].outage(401)
    workers.locate(["8.8.8.8"])
    assert TOKEN not in caplog.text + repr(workers.maker()(None, None))
    assert "8.8.8.8" not in caplog.text
    assert sandbox.memory.violations == []


# --- reading an answer ----------------------------------------------------------------------------


def read(body: object, status: int = 200) -> Any:
    answer = http.Answer(status, httpx.Headers(), orjson.dumps(body))
    return read_answer(answer, ["8.8.8.8", "1.1.1.1"])


def test_the_code_of_a_region_is_taken_from_the_service_that_has_it() -> None:
    geo = {"city": "Köln", "region": "Nordrhein-Westfalen", "region_code": "NW"}
    verdict = read({"8.8.8.8": {"geo": {**geo, "postal_code": "50667", "country_code": "DE"}}})
    place = Place("Köln", "Nordrhein-Westfalen", "NW", "50667", "DE")
    assert verdict.answers["8.8.8.8"] == Located(place)


def test_an_error_in_the_place_of_an_answer_is_asked_later_by_itself() -> None:
    verdict = read({"8.8.8.8": {"error": {"title": "quota"}}, "1.1.1.1": {"country": "AU"}})
    assert isinstance(verdict.answers["8.8.8.8"], AskLater)
    assert verdict.answers["1.1.1.1"] == Located(Place(country="AU"))


@pytest.mark.parametrize("flag", ["vpn", "proxy", "tor", "relay", "hosting"])
def test_whatever_hides_the_person_is_marked(flag: str) -> None:
    verdict = read({"8.8.8.8": {"country": "US", "privacy": {flag: True}}})
    assert verdict.answers["8.8.8.8"].hosting


def test_an_answer_about_other_things_came_to_nothing() -> None:
    assert read({"error": "no batch"}) == UnreadableAnswer(
        "no address of the batch is in the answer"
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["8.8.8.8", "geo", "city", "country", "privacy"]), inner)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(body=_JSON, status=st.sampled_from([200, 200, 429, 403, 500]))
def test_whatever_comes_is_read_and_each_address_has_an_answer(body: object, status: int) -> None:
    verdict = read(body, status)
    if isinstance(verdict, Understood):
        assert verdict.answers.keys() == {"8.8.8.8", "1.1.1.1"}
    else:
        assert isinstance(verdict, (Failed, ProviderThrottled, UnreadableAnswer))
