"""Both protocols over a real socket, and a run over a real queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest

from tracking_pipeline.delivery.destinations.gtm.server import GtmContainer, GtmServer
from tracking_pipeline.delivery.engine.destination import Reply
from tracking_pipeline.delivery.engine.events import Prepared
from tracking_pipeline.delivery.engine.outcomes import (
    Delivered,
    Paused,
    PerEvent,
    Refused,
    Retry,
    Throttled,
    Uniform,
)
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.delivery.engine.totals import RetryTotals
from tracking_pipeline.http_client import http_client
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline_tests.delivery.claimed import NOW, claimed
from tracking_pipeline_tests.delivery.failed_event_queue import Queue, sent_as

SECRET = "canary/secret+of a test"
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
EMAIL = "canary.person@example.com"
PAYLOAD = {
    "event_name": "generate_lead",
    "client_id": "111.222",
    "email": EMAIL,
    "user_agent": AGENT,
    "client_ip_address": "8.8.8.8",
}
Containers = Callable[..., GtmContainer]


@pytest.fixture
def container(sandbox: Sandbox) -> Containers:
    """A container of the sandbox by its name."""

    def at(name: str = "main", **settings: Any) -> GtmContainer:
        return GtmContainer(sandbox.gtm_url.replace("/main", f"/{name}"), **settings)

    return at


@pytest.fixture
def measured(container: Containers) -> GtmContainer:
    return container(protocol="measurement_protocol", measurement_id="G-TEST", api_secret=SECRET)


def prepare(gtm: GtmServer, *event_ids: str, **fields: Any) -> list[Prepared]:
    """The events made ready, as if each had just happened."""
    events = [
        claimed({**PAYLOAD, "event_id": event_id, **fields}, created_at=NOW)
        for event_id in event_ids
    ]
    ready = [gtm.prepare(event) for event in events]
    return [each for each in ready if isinstance(each, Prepared)]


def post(container: GtmContainer, *event_ids: str, **fields: Any) -> Reply:
    async def send() -> Reply:
        async with http_client(max_connections=1) as client:
            gtm = GtmServer(container, client)
            return await gtm.send(prepare(gtm, *event_ids, **fields), NOW)

    return asyncio.run(send())


def outcome(container: GtmContainer, *event_ids: str, **fields: Any) -> Any:
    verdict = post(container, *event_ids, **fields).verdict
    assert isinstance(verdict, Uniform)
    return verdict.outcome


def retry(database_url: str, container: GtmContainer, limits: int | None = None) -> RetryTotals:
    """One run over ``gtm_server`` alone."""

    def make(client: httpx.AsyncClient, pool: AsyncPool) -> Sequence[GtmServer]:
        gtm = GtmServer(container, client)
        if limits:
            gtm.limits = replace(gtm.limits, request_events=limits, in_flight=1)
        return [gtm]

    return asyncio.run(retry_failed_events(database_url, make, RetryRequest()))


def test_the_data_client_sees_the_visitor_and_not_the_worker(
    sandbox: Sandbox, container: Containers
) -> None:
    assert outcome(container(), "a") == Delivered(200)

    [seen] = sandbox.memory.events("a")
    assert (seen["client_id"], seen["ip_override"]) == ("111.222", "8.8.8.8")
    assert (seen["user_agent"], seen["timestamp"]) == (AGENT, int(NOW.timestamp()))
    assert sandbox.memory.violations == []


def test_an_event_without_an_agent_has_no_browsers_and_no_librarys(
    sandbox: Sandbox, container: Containers
) -> None:
    outcome(container(), "a", user_agent=None)

    assert sandbox.memory.events("a")[0]["user_agent"] == "tracking-pipeline"


def test_several_events_go_as_a_list_where_the_container_takes_lists(
    sandbox: Sandbox, container: Containers
) -> None:
    multiple = container("multiple", accept_multiple_events=True)

    assert outcome(multiple, "a", "b") == Delivered(200)
    assert sandbox.memory.accepted_ids == {"a", "b"}
    assert sandbox.memory.violations == []


def test_a_container_that_takes_no_lists_is_found_out(container: Containers) -> None:
    paused = outcome(container("main", accept_multiple_events=True), "a", "b")

    assert isinstance(paused, Paused)
    assert "Accept Multiple Events" in paused.fault.message


@pytest.mark.parametrize(
    ("name", "status"), [("silent", 200), ("talkative", 200), ("status-403", 403)]
)
def test_every_way_in_which_a_data_client_says_yes_is_understood(
    container: Containers, name: str, status: int
) -> None:
    assert outcome(container(name), "a") == Delivered(status)


def test_an_unpublished_client_pauses(container: Containers) -> None:
    assert isinstance(outcome(container("unpublished"), "a"), Paused)


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (500, Retry),
        (503, Retry),
        ("reset", Retry),
        ("late_reset", Retry),
        ("html", Retry),
        ({"status": 429, "retry_after": "9"}, Throttled),
        (403, Paused),
    ],
)
def test_a_container_in_trouble_is_told_apart(
    sandbox: Sandbox, container: Containers, measured: GtmContainer, step: Any, kind: type
) -> None:
    sandbox.scripts.update({"a": [step], "b": [step]})

    assert isinstance(outcome(container(), "a"), kind)
    assert isinstance(outcome(measured, "b"), kind)


def test_an_answer_that_cannot_be_read_is_in_doubt(sandbox: Sandbox, container: Containers) -> None:
    sandbox.scripts.set("a", ["broken_json"])

    assert isinstance(outcome(container(), "a"), Retry)


def test_an_event_that_the_container_refuses_is_refused_with_either_protocol(
    sandbox: Sandbox, container: Containers, measured: GtmContainer
) -> None:
    sandbox.scripts.update({"a": ["bad"], "b": ["bad"]})

    assert isinstance(post(container(), "a").verdict, Refused)
    assert isinstance(post(measured, "b").verdict, Refused)


def test_the_measurement_protocol_takes_the_events_of_a_visitor_in_one_request(
    sandbox: Sandbox, measured: GtmContainer
) -> None:
    assert outcome(measured, "a", "b") == Delivered(204)

    [seen] = sandbox.memory.events("b")
    assert (seen["client_id"], seen["ip_override"]) == ("111.222", "8.8.8.8")
    assert len(sandbox.memory.requests) == 1
    # The sandbox's clock is the machine's, and the event is of the day of the tests.
    age = {"an event of more than 72 hours ago"}
    assert {violation.what for violation in sandbox.memory.violations} <= age


@pytest.mark.parametrize("token", [None, "ZW52LTE="])
def test_the_preview_token_is_sent_where_there_is_one(
    sandbox: Sandbox, container: Containers, token: str | None
) -> None:
    outcome(container(preview_token=token), "a")

    assert [request.test_event_code for request in sandbox.memory.requests] == [token]


@pytest.mark.parametrize("missing", [{"measurement_id": "G-TEST"}, {"api_secret": SECRET}, {}])
def test_the_measurement_protocol_needs_its_id_and_its_secret(missing: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs a measurement id and an API secret"):
        GtmContainer("https://sgtm.shop.example", "measurement_protocol", **missing)


def test_neither_the_secret_nor_a_person_is_in_the_log_or_in_a_fault(
    sandbox: Sandbox, measured: GtmContainer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpx_aiohttp", "aiohttp", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    sandbox.scripts.update({"b": [500], "c": ["reset"], "d": ["bad"], "e": [403]})

    told = [repr(post(measured, event_id)) for event_id in "abcde"]
    unreachable = replace(measured, url="http://127.0.0.1:9")
    told += [repr(post(unreachable, "f")), repr(measured), repr(unreachable)]

    logged = [record.getMessage() for record in caplog.records]
    for text in (*logged, *told):
        assert "canary" not in text.lower()


def test_a_queue_of_many_visitors_is_delivered_one_visitor_a_request(
    queue: Queue, database_url: str, sandbox: Sandbox, container: Containers
) -> None:
    rows = []
    for visitor in ("1.1", "2.2", "3.3"):
        payload = {**PAYLOAD, "client_id": visitor}
        rows += queue.add(4, event_payload=payload, destination="gtm_server")

    totals = retry(database_url, container("multiple", accept_multiple_events=True))

    assert totals.total("resolved") == 12
    assert sandbox.memory.accepted_ids == sent_as(rows)
    assert sandbox.memory.violations == []
    assert sorted(len(request.event_ids) for request in sandbox.memory.requests) == [4, 4, 4]


def test_a_measured_queue_breaks_no_limit(
    queue: Queue, database_url: str, sandbox: Sandbox, measured: GtmContainer
) -> None:
    rows = queue.add(60, event_payload=PAYLOAD, destination="gtm_server")

    totals = retry(database_url, measured)

    assert totals.total("resolved") == 60
    assert sandbox.memory.accepted_ids == sent_as(rows)
    assert sandbox.memory.violations == []
    assert max(len(request.event_ids) for request in sandbox.memory.requests) == 25


def test_a_poison_event_does_not_hold_up_its_list(
    queue: Queue, database_url: str, sandbox: Sandbox, container: Containers
) -> None:
    rows = queue.add(8, event_payload=PAYLOAD, destination="gtm_server")
    sandbox.scripts.set(rows[3].sent_as, ["bad"])

    totals = retry(database_url, container("multiple", accept_multiple_events=True))

    assert (totals.total("resolved"), totals.total("dead_lettered")) == (7, 1)
    assert queue.row(rows[3])["dead_letter_reason"] == "refused by the container: HTTP 400"


def test_an_unpublished_container_spends_nothing_and_says_why(
    queue: Queue, database_url: str, sandbox: Sandbox, container: Containers
) -> None:
    rows = queue.add(5, event_payload=PAYLOAD, destination="gtm_server")

    totals = retry(database_url, container("unpublished"), limits=1)

    assert totals.by_destination["gtm_server"].state == "paused"
    assert "no client claimed" in totals.by_destination["gtm_server"].detail
    assert queue.statuses() == {"pending": 5}
    assert {queue.row(row)["retry_count"] for row in rows} == {0}
    assert len(sandbox.memory.requests) == 1


def test_a_larger_visitor_counts_towards_the_size_of_a_request(
    queue: Queue, database_url: str, sandbox: Sandbox, measured: GtmContainer
) -> None:
    items = [{"item_id": "s" * 90, "quantity": number} for number in range(400)]
    payload = {**PAYLOAD, "items": items}
    queue.add(6, event_payload=payload, destination="gtm_server")
    assert len(orjson.dumps(items)) * 3 > 130_000

    totals = retry(database_url, measured)

    assert totals.total("resolved") == 6
    assert sandbox.memory.violations == []
    assert len(sandbox.memory.requests) == 3


def test_an_event_that_goes_without_a_parameter_is_delivered_with_a_warning(
    measured: GtmContainer,
) -> None:
    reply = post(measured, "a", metadata={"note": "x" * 101})

    assert reply.verdict == PerEvent([Delivered(204, warnings=("parameters_left_out",))])
    assert post(measured, "b", metadata={"note": "short"}).verdict == Uniform(Delivered(204))
