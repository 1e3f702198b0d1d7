"""ip-api on the sandbox's stand-in, which counts every broken limit."""

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
from tracking_pipeline.geo.ip_api import IpApi, read_answer
from tracking_pipeline.geo.online import (
    MOST_UNREADABLE_ON_END,
    Failed,
    ProviderThrottled,
    Understood,
    UnreadableAnswer,
)
from tracking_pipeline.geo.place import Place
from tracking_pipeline.geo.provider import NOWHERE, AskLater, Located
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.ip_api_rules import IpApiLimits
from tracking_pipeline.sandbox.sample_people import known_place
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.store.geo_providers import (
    GeoProviderState,
    RequestWindow,
    read_geo_provider_states,
)
from tracking_pipeline_tests.geo.asking import (
    TODAY,
    Answers,
    MakeProvider,
    addresses,
    locate,
    locate_together,
    time_enough,
)

KEY = "canaryKEY0123456789"
# What the service says of itself counts, so a test need not wait for the real one's minute.
SHORT_WINDOWS = IpApiLimits(batch_requests=4, window_seconds=1.2)


class Workers:
    """Workers of one test, on its database and its sandbox."""

    def __init__(self, database_url: str, sandbox: Sandbox, connection: psycopg.Connection) -> None:
        self._database_url = database_url
        self._sandbox = sandbox
        self._connection = connection

    def maker(self, **changes: Any) -> MakeProvider:
        arguments = {
            "url": self._sandbox.ip_api_url,
            "today": TODAY,
            "seconds_left": time_enough,
            **changes,
        }
        return lambda client, pool: IpApi(client, pool, **arguments)

    def locate(self, *asked: Sequence[str], **changes: Any) -> Answers:
        found: Answers = {}
        for answers in locate(self._database_url, self.maker(**changes), *asked):
            found.update(answers)
        return found

    def locate_together(self, *asked: Sequence[str]) -> Answers:
        workers = locate_together(self._database_url, self.maker(), *asked)
        return {address: answer for [found] in workers for address, answer in found.items()}

    @property
    def state(self) -> GeoProviderState:
        return read_geo_provider_states(self._connection)["ip_api"]

    def let_the_hold_end(self) -> None:
        self._connection.execute("update tracking_geo_providers set not_before = now()")


@pytest.fixture
def workers(database_url: str, sandbox: Sandbox, connection: psycopg.Connection) -> Workers:
    return Workers(database_url, sandbox, connection)


def test_addresses_are_located_with_the_source_named(workers: Workers, sandbox: Sandbox) -> None:
    found = workers.locate(["8.8.8.8", "2606:4700:4700::1111"])
    for address, answer in found.items():
        assert isinstance(answer, Located)
        assert answer.hosting == known_place(address).hosting
        assert answer.place.country == known_place(address).country
    provider = workers.maker()(None, None)  # only its name is asked
    assert (provider.name, provider.source) == ("ip_api", "ip_api 2026-11-24")
    assert sandbox.memory.violations == []


def test_each_distinct_address_is_asked_once_a_hundred_in_a_request(
    workers: Workers, sandbox: Sandbox
) -> None:
    asked = addresses(250)
    found = workers.locate(asked + asked)
    assert found.keys() == set(asked)
    assert sandbox.ip_api.asked == dict.fromkeys(asked, 1)
    assert len(sandbox.memory.requests) == 3


def test_one_worker_waits_for_the_next_window_and_breaks_no_limit(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.ip_api.limits = SHORT_WINDOWS
    found = workers.locate(addresses(500))
    assert all(isinstance(answer, Located) for answer in found.values())
    assert len(found) == 500
    assert sandbox.memory.violations == []
    assert [request.answer for request in sandbox.memory.requests] == ["200"] * 5


def test_four_workers_share_the_windows_and_break_no_limit(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.ip_api.limits = SHORT_WINDOWS
    asked = [addresses(200, first) for first in (0, 200, 400, 600)]
    found = workers.locate_together(*asked)
    assert all(isinstance(answer, Located) for answer in found.values())
    assert len(found) == 800
    assert sandbox.memory.violations == []
    assert sandbox.ip_api.asked == dict.fromkeys(addresses(800), 1)


def test_four_workers_break_no_limit_where_a_stranger_uses_the_same_window(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.ip_api.limits = IpApiLimits(batch_requests=6, window_seconds=0.8)
    with httpx.Client() as stranger:
        for _ in range(3):
            stranger.post(sandbox.ip_api_url + "/batch", json=["8.8.8.8"])
    workers.locate_together(*(addresses(200, first) for first in (0, 200, 400, 600)))
    assert sandbox.memory.violations == []


def test_a_window_that_outlasts_the_run_leaves_the_rest_unasked(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.ip_api.limits = IpApiLimits(batch_requests=2, window_seconds=60)
    found = workers.locate(addresses(500), seconds_left=lambda: 20.0)
    assert found.keys() == set(addresses(200))
    assert workers.locate(addresses(1, 900), seconds_left=lambda: 20.0) == {}
    assert sandbox.memory.violations == []
    assert workers.state.failures == 0


def test_nothing_is_asked_when_the_time_is_up(workers: Workers, sandbox: Sandbox) -> None:
    assert workers.locate(addresses(1), seconds_left=lambda: 0.0) == {}
    assert sandbox.memory.requests == []


def test_a_throttle_holds_all_workers_for_as_long_as_it_says(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.conditions["ip_api"].throttle(1, "30")
    found = workers.locate(addresses(300))
    assert set(found.values()) == {AskLater("HTTP 429: asked too often", 31.0)}
    assert found.keys() == set(addresses(100))
    assert workers.locate_together(addresses(1), addresses(1, 1)) == {}
    assert 29 < workers.state.held_seconds <= 31
    assert workers.state.failures == 0
    assert sandbox.memory.violations == []


def test_a_throttle_that_names_no_time_holds_for_a_window(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.conditions["ip_api"].throttle(1)
    assert workers.locate(["8.8.8.8"]) == {"8.8.8.8": AskLater("HTTP 429: asked too often", 60.0)}
    assert 59 < workers.state.held_seconds <= 60


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (500, "HTTP 500"),
        (503, "HTTP 503"),
        (302, "HTTP 302"),
        (404, "HTTP 404"),
        (403, "HTTP 403: this machine's address may be banned"),
        ("html", "HTTP 500"),
        ("reset", "no answer (connection)"),
        ("late_reset", "no answer (connection)"),
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
    sandbox.conditions["ip_api"].outage(fault)
    found = workers.locate(addresses(100), addresses(100, 100))
    assert found.keys() == set(addresses(100))
    [answer] = set(found.values())
    assert isinstance(answer, AskLater)
    assert answer.reason.startswith(reason)
    assert answer.after_seconds is None
    assert len(sandbox.memory.requests) == 1
    assert workers.state.failures == 1
    assert 59 < workers.state.held_seconds <= 60


def test_a_source_that_says_nothing_readable_is_left_alone_after_a_few_requests(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.ip_api.limits = SHORT_WINDOWS
    sandbox.conditions["ip_api"].outage("broken_json")
    holds = []
    for first in (0, 500):
        found = workers.locate(addresses(500, first), window=RequestWindow(4, seconds=1.2))
        assert set(found.values()) == {AskLater("unreadable answer")}
        assert found.keys() == set(addresses(100, first))
        holds.append(round(workers.state.held_seconds / 60))
        workers.let_the_hold_end()
    assert holds == [1, 2]
    assert len(sandbox.memory.requests) == 2 * MOST_UNREADABLE_ON_END
    assert sandbox.memory.violations == []


def test_an_outage_is_met_with_longer_and_longer_holds_until_it_is_over(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.conditions["ip_api"].outage(503)
    holds = []
    for _ in range(3):
        workers.locate(["8.8.8.8"])
        holds.append(round(workers.state.held_seconds / 60))
        workers.let_the_hold_end()
    assert holds == [1, 2, 4]
    sandbox.conditions["ip_api"].outage(None)
    assert isinstance(workers.locate(["8.8.8.8"])["8.8.8.8"], Located)
    assert (workers.state.failures, workers.state.reason) == (0, None)


def test_a_scripted_fault_of_one_address_costs_its_batch_one_request(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.scripts.set("8.8.8.8", [503])
    assert isinstance(workers.locate(["8.8.8.8", "1.1.1.1"])["1.1.1.1"], AskLater)
    workers.let_the_hold_end()
    assert isinstance(workers.locate(["8.8.8.8", "1.1.1.1"])["1.1.1.1"], Located)


def test_answers_in_another_order_go_to_their_own_addresses(
    workers: Workers, sandbox: Sandbox
) -> None:
    in_order = workers.locate(addresses(50))
    sandbox.ip_api.in_another_order = True
    assert workers.locate(addresses(50)) == in_order
    assert len(set(in_order.values())) > 5


def test_an_address_that_is_missing_from_the_answer_is_asked_later(
    workers: Workers, sandbox: Sandbox
) -> None:
    sandbox.ip_api.left_out = frozenset({"8.8.8.8"})
    found = workers.locate(["8.8.8.8", "1.1.1.1"])
    assert found["8.8.8.8"] == AskLater("the address is missing from the answer")
    assert isinstance(found["1.1.1.1"], Located)


def test_what_the_service_refuses_is_nowhere_for_good(workers: Workers) -> None:
    refused = ["10.0.0.1", "127.0.0.1", "fc00::1"]
    assert workers.locate(refused) == dict.fromkeys(refused, NOWHERE)


def test_the_paid_service_is_asked_without_windows_and_the_key_is_told_to_nobody(
    workers: Workers, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    paid = {"url": sandbox.ip_api_paid_url, "key": KEY}
    assert len(workers.locate(addresses(2000), **paid)) == 2000
    sandbox.conditions["ip_api"].outage(403)
    refused = workers.locate(["8.8.8.8"], **paid)
    assert refused == {"8.8.8.8": AskLater("HTTP 403: check IP_API_KEY")}
    assert sandbox.memory.violations == []
    assert KEY not in caplog.text + repr(workers.maker(**paid)(None, None))
    assert "8.8.8.8" not in caplog.text


def test_places_survive_where_the_state_cannot_be_recorded(
    workers: Workers, database_url: str
) -> None:
    def make(client: DeliveryClient, pool: AsyncPool) -> IpApi:
        async def lose_the_database(_: httpx.Request) -> None:
            await pool.close()

        client.event_hooks["request"].append(lose_the_database)
        return workers.maker()(client, pool)  # type: ignore[return-value]

    [found] = locate(database_url, make, ["8.8.8.8"])
    assert isinstance(found["8.8.8.8"], Located)


# --- reading an answer ----------------------------------------------------------------------------


def answer(body: object, status: int = 200, **headers: str) -> http.Answer:
    spelled = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.Answer(status, httpx.Headers(spelled), orjson.dumps(body))


def item(query: str = "8.8.8.8", **changes: object) -> dict[str, object]:
    place = {"countryCode": "US", "regionName": "Texas", "city": "Austin", "zip": "78701"}
    return {"status": "success", "query": query, **place, **changes}


def read(*items: object, **headers: str) -> Understood:
    verdict = read_answer(answer(list(items), **headers), ["8.8.8.8"])
    assert isinstance(verdict, Understood)
    return verdict


def test_a_place_is_read_with_the_states_code_where_it_is_certain() -> None:
    place = Place("Austin", "Texas", "TX", "78701", "US")
    assert read(item()).answers == {"8.8.8.8": Located(place)}
    in_bavaria = read(item(countryCode="DE", regionName="Bavaria", region="02")).answers["8.8.8.8"]
    assert isinstance(in_bavaria, Located)
    assert (in_bavaria.place.state, in_bavaria.place.state_code) == ("Bavaria", None)


def test_blank_parts_are_unknown_and_a_place_without_parts_is_nowhere() -> None:
    blank = {"city": "", "regionName": "", "zip": ""}
    assert read(item(**blank)).answers == {"8.8.8.8": Located(Place(country="US"))}
    assert read(item(**blank, countryCode="")).answers == {"8.8.8.8": NOWHERE}


@pytest.mark.parametrize("flag", ["proxy", "hosting"])
def test_a_proxy_and_a_data_centre_are_marked(flag: str) -> None:
    [located] = read(item(**{flag: True})).answers.values()
    assert isinstance(located, Located)
    assert located.hosting


def test_an_address_in_another_spelling_is_the_same_address() -> None:
    spelled = item("2001:4860:4860:0:0:0:0:8888")
    verdict = read_answer(answer([spelled]), ["2001:4860:4860::8888"])
    assert isinstance(verdict, Understood)
    assert isinstance(verdict.answers["2001:4860:4860::8888"], Located)


@pytest.mark.parametrize("message", ["private range", "reserved range", "invalid query"])
def test_the_failures_that_are_documented_are_final(message: str) -> None:
    refused = {"status": "fail", "message": message, "query": "8.8.8.8"}
    assert read(refused).answers == {"8.8.8.8": NOWHERE}


def test_a_failure_of_an_unknown_kind_is_not_final() -> None:
    [later] = read({"status": "fail", "message": "quota", "query": "8.8.8.8"}).answers.values()
    assert isinstance(later, AskLater)


@pytest.mark.parametrize(
    ("headers", "left", "seconds"),
    [
        ({"x_rl": "14", "x_ttl": "60"}, 14, 61.0),
        ({"x_rl": "0", "x_ttl": "0"}, 0, 1.0),
        ({"x_rl": "0"}, 0, 60.0),
        ({"x_rl": "3", "x_ttl": "soon"}, 3, None),
        ({"x_rl": "0", "x_ttl": "999999999999"}, 0, 3600.0),
        ({"x_rl": "-1", "x_ttl": "60"}, None, None),
        ({}, None, None),
    ],
)
def test_what_is_left_of_the_window_is_read_with_a_margin(
    headers: dict[str, str], left: int | None, seconds: float | None
) -> None:
    allowance = read(item(), **headers).allowance
    assert (allowance.requests_left, allowance.resets_in_seconds) == (left, seconds)


def test_an_answer_that_was_too_long_cannot_be_read() -> None:
    too_long = http.Answer(200, fault="oversized")
    assert read_answer(too_long, ["8.8.8.8"]) == UnreadableAnswer("the answer is too long")
    assert read_answer(http.Answer(500, fault="oversized"), ["8.8.8.8"]) == Failed(
        "no answer (oversized)"
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["query", "status", "message", "city", "countryCode", "x"]), inner
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(
    body=_JSON | st.lists(st.builds(item, st.just("8.8.8.8"), city=_JSON)),
    status=st.sampled_from([200, 200, 200, 429, 500]),
    left=st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=12),
)
def test_whatever_comes_is_read_and_each_address_has_an_answer(
    body: object, status: int, left: str
) -> None:
    verdict = read_answer(answer(body, status, x_rl=left, x_ttl=left), ["8.8.8.8", "1.1.1.1"])
    if isinstance(verdict, Understood):
        assert verdict.answers.keys() == {"8.8.8.8", "1.1.1.1"}
    elif isinstance(verdict, ProviderThrottled):
        assert 0 < verdict.seconds <= 3600
