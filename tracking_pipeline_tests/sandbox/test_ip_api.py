from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.ip_api_rules import IpApiLimits
from tracking_pipeline.sandbox.sample_people import PUBLIC_ADDRESSES, known_place
from tracking_pipeline.sandbox.server import Sandbox

FIELDS = "status,message,query,countryCode,regionName,city,zip,hosting"


class Clock:
    """A time of day that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as running:
        yield running


class IpApi:
    """Asks one sandbox as a client of another project would."""

    def __init__(self, client: httpx.Client, sandbox: Sandbox) -> None:
        self._client = client
        self.url = sandbox.ip_api_url
        self.paid_url = sandbox.ip_api_paid_url

    def batch(self, *asked: Any, url: str = "", **parameters: Any) -> httpx.Response:
        return self._client.post((url or self.url) + "/batch", params=parameters, json=asked)

    def one(self, query: str, url: str = "", **parameters: Any) -> httpx.Response:
        return self._client.get(f"{url or self.url}/json/{query}", params=parameters)


@pytest.fixture
def ip_api(http: httpx.Client, sandbox: Sandbox) -> IpApi:
    return IpApi(http, sandbox)


def violations(sandbox: Sandbox) -> list[str]:
    return [violation.kind for violation in sandbox.memory.violations]


def limits(answer: httpx.Response) -> tuple[str | None, str | None]:
    return answer.headers.get("X-Rl"), answer.headers.get("X-Ttl")


def test_a_batch_is_answered_with_the_fields_that_were_asked_for(
    ip_api: IpApi, sandbox: Sandbox
) -> None:
    answer = ip_api.batch("8.8.8.8", {"query": "1.1.1.1", "fields": "query,country"}, fields=FIELDS)
    first, second = answer.json()
    assert first.keys() == set(FIELDS.split(",")) - {"message"}
    assert first["query"] == "8.8.8.8"
    assert second.keys() == {"query", "country"}
    assert limits(answer) == ("14", "60")
    assert sandbox.memory.violations == []


def test_a_place_is_the_same_each_time_and_in_each_spelling() -> None:
    assert known_place("2001:4860:4860::8888") == known_place("2001:4860:4860:0:0:0:0:8888")
    places = [known_place(address).place for address in PUBLIC_ADDRESSES]
    assert len({place for place in places if place}) > 8
    # Some are not known well, or there would be nothing to fall back from.
    assert 0 < places.count(None) < len(places) / 3


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("10.1.2.3", "private range"),
        ("192.168.0.1", "private range"),
        ("fd00::1", "private range"),
        ("127.0.0.1", "reserved range"),
        ("224.0.0.1", "reserved range"),
        ("::1", "reserved range"),
        ("8.8.8", "invalid query"),
        ("example", "invalid query"),
    ],
)
def test_what_has_no_place_is_refused_with_the_documented_message(
    ip_api: IpApi, query: str, message: str
) -> None:
    refused = {"status": "fail", "message": message, "query": query}
    assert ip_api.batch(query).json() == [refused]
    assert ip_api.one(query).json() == refused


def test_the_sixteenth_batch_of_a_minute_is_refused_and_remembered(
    ip_api: IpApi, sandbox: Sandbox, clock: Clock
) -> None:
    for left in range(14, -1, -1):
        clock.now += 1
        assert limits(ip_api.batch("8.8.8.8"))[0] == str(left)
    assert violations(sandbox) == []
    over = ip_api.batch("8.8.8.8")
    assert (over.status_code, limits(over)) == (429, ("0", "46"))
    assert violations(sandbox) == ["over_the_limit"]
    clock.now += 45.9
    assert ip_api.batch("8.8.8.8").status_code == 429
    clock.now += 0.2
    assert limits(ip_api.batch("8.8.8.8")) == ("14", "60")


def test_single_questions_have_a_window_of_their_own(ip_api: IpApi, sandbox: Sandbox) -> None:
    answers = [ip_api.one("8.8.8.8") for _ in range(45)]
    assert limits(answers[-1])[0] == "0"
    assert answers[0].json()["country"]
    assert ip_api.batch("8.8.8.8").status_code == 200
    assert violations(sandbox) == []
    assert ip_api.one("8.8.8.8").status_code == 429


def test_whoever_goes_on_and_on_is_banned_for_good(
    ip_api: IpApi, sandbox: Sandbox, clock: Clock
) -> None:
    sandbox.ip_api.limits = IpApiLimits(batch_requests=1, over_before_ban=3)
    statuses = [ip_api.batch("8.8.8.8").status_code for _ in range(5)]
    assert statuses == [200, 429, 429, 429, 403]
    clock.now += 86_400
    assert ip_api.batch("8.8.8.8").status_code == 403
    assert ip_api.one("8.8.8.8").status_code == 403


def test_a_hundred_and_one_questions_are_too_many(ip_api: IpApi, sandbox: Sandbox) -> None:
    assert ip_api.batch(*["8.8.8.8"] * 100).status_code == 200
    assert ip_api.batch(*["8.8.8.8"] * 101).status_code == 422
    assert violations(sandbox) == ["too_many_queries"]


def test_a_question_without_an_address_asks_about_the_asker(
    ip_api: IpApi, sandbox: Sandbox
) -> None:
    assert ip_api.batch("").json()[0]["query"] == "127.0.0.1"
    assert ip_api.one("").json()["query"] == "127.0.0.1"
    assert violations(sandbox) == ["own_address_asked"] * 2


def test_the_paid_service_wants_a_key_and_counts_nothing(ip_api: IpApi, sandbox: Sandbox) -> None:
    answers = [ip_api.batch("8.8.8.8", url=ip_api.paid_url, key="k") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert limits(answers[0]) == (None, None)
    assert ip_api.batch("8.8.8.8", url=ip_api.paid_url).status_code == 403
    assert violations(sandbox) == []


def test_a_key_that_is_sent_to_the_free_service_is_a_key_in_the_clear(
    ip_api: IpApi, sandbox: Sandbox
) -> None:
    ip_api.batch("8.8.8.8", key="k")
    assert violations(sandbox) == ["key_in_the_clear"]


def test_answers_can_come_in_another_order_and_with_gaps(ip_api: IpApi, sandbox: Sandbox) -> None:
    sandbox.ip_api.in_another_order = True
    sandbox.ip_api.left_out = frozenset({"1.1.1.1"})
    answer = ip_api.batch("8.8.8.8", "1.1.1.1", "9.9.9.9", fields="query")
    assert answer.json() == [{"query": "9.9.9.9"}, {"query": "8.8.8.8"}]


def test_an_address_meets_its_script(ip_api: IpApi, sandbox: Sandbox) -> None:
    sandbox.scripts.set("8.8.8.8", [503, "broken_json"])
    first, second, third = (ip_api.batch("1.1.1.1", "8.8.8.8") for _ in range(3))
    assert first.status_code == 503
    assert second.status_code == 200
    assert second.content.startswith(b"[{")
    assert not second.content.endswith(b"]")
    assert len(third.json()) == 2


def test_coming_back_before_the_end_of_a_scripted_wait_is_remembered(
    ip_api: IpApi, sandbox: Sandbox, eventually: Any
) -> None:
    sandbox.conditions["ip_api"].throttle(2, "30")
    told = ip_api.batch("8.8.8.8")
    assert (told.status_code, limits(told)) == (429, ("0", "30"))

    def comes_back() -> bool:
        ip_api.batch("8.8.8.8")
        return "request_while_told_to_wait" in violations(sandbox)

    assert eventually(comes_back)


def test_a_whole_outage_is_met_by_every_question(ip_api: IpApi, sandbox: Sandbox) -> None:
    sandbox.conditions["ip_api"].outage("html")
    assert ip_api.batch("8.8.8.8").text.startswith("<html>")
    assert ip_api.one("8.8.8.8").status_code == 500


def test_no_address_is_in_the_memory_or_the_journal(http: httpx.Client, tmp_path: Any) -> None:
    journal = tmp_path / "received.ndjson"
    with Sandbox(journal=journal) as sandbox:
        IpApi(http, sandbox).batch("8.8.8.8")
        assert sandbox.ip_api.asked == {"8.8.8.8": 1}
        assert [request.event_ids for request in sandbox.memory.requests] == [()]
    assert b"ip_api" in journal.read_bytes()
    assert b"8.8.8.8" not in journal.read_bytes()


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b'"8.8.8.8"'])
def test_what_is_no_list_is_refused(http: httpx.Client, sandbox: Sandbox, body: bytes) -> None:
    assert http.post(sandbox.ip_api_url + "/batch", content=body).status_code == 400


def test_items_of_a_wrong_form_are_invalid_queries(ip_api: IpApi) -> None:
    answers = ip_api.batch(7, None, ["8.8.8.8"], {"query": 7}).json()
    assert [answer["message"] for answer in answers] == ["invalid query"] * 4
