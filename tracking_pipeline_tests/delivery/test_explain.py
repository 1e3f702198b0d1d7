"""What explain says of an event is what a drain does with it, and it tells nothing of a person."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tracking_pipeline.delivery.destinations.ledger import ledger_event_id
from tracking_pipeline.delivery.engine.destination import Destination, NotConfigured, Reply
from tracking_pipeline.delivery.engine.events import FailedEvent, Prepared
from tracking_pipeline.delivery.engine.outcomes import Delivered, NotSent, PerEvent
from tracking_pipeline.delivery.engine.redaction import redact
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.delivery.explain import (
    DestinationSeen,
    EventExplained,
    Explanation,
    explain_id,
    explain_unstored,
)
from tracking_pipeline.events.explain import ReadingRules
from tracking_pipeline.events.masking import shown_body
from tracking_pipeline.events.policy import ReadingPolicy
from tracking_pipeline.importing.files import open_records
from tracking_pipeline.importing.service import import_file
from tracking_pipeline.importing.unstored import UnstoredEvent, read_unstored
from tracking_pipeline.store import explain as store_explain
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, payload
from tracking_pipeline_tests.delivery.runs import Runs
from tracking_pipeline_tests.events.written import destination as made_destination

EMAIL = "canary.person@example.com"
PHONE = "+1 (415) 555-0132"
NAME = "Canarisha"
STREET = "77 Canary Row"
TOKEN = "EAAcanaryTOKENcanary0123456789"
ADDRESS = "81.2.69.142"
AGENT = "Mozilla/5.0 (canary-machine)"
CANARIES = (
    *(EMAIL, "canary.person", PHONE, "4155550132", "415) 555-0132", NAME, STREET, "77 canary"),
    *(TOKEN, ADDRESS, "canary-machine", "94110-canary"),
)
RULES = ReadingRules(site_url="https://shop.example")


def made(protocol: str = "data_client", policy: ReadingPolicy = RULES.policy) -> list[Destination]:
    names = ("meta_capi", "google_ec", protocol, "ledger")
    return [made_destination(name, policy) for name in names]


def explain(
    connection: psycopg.Connection, wanted: object, destinations: Sequence[Any] | None = None
) -> Explanation:
    return explain_id(connection, str(wanted), destinations or made(), RULES)


def one(found: Explanation) -> EventExplained:
    (event,) = found.events
    return event


def of(event: EventExplained, name: str) -> DestinationSeen:
    (found,) = [each for each in event.destinations if each.name == name]
    return found


def assert_no_canary(text: str) -> None:
    found = [canary for canary in CANARIES if canary.lower() in text.lower()]
    assert not found, f"canaries: {found}"


# --- what is found ---


def test_a_row_is_found_by_its_own_id_its_events_and_its_leads(
    connection: psycopg.Connection, queue: Queue
) -> None:
    lead = uuid4()
    connection.execute("insert into leads (id, email) values (%s, 'a@example.com')", (lead,))
    row = queue.add_one(lead_id=lead)
    accepted = queue.accept_one(lead_id=lead)
    queue.add(2)
    for wanted in (row.id, row.event_id, str(row.event_id).upper()):
        event = one(explain(connection, wanted))
        assert (event.row.table, event.row.id) == ("tracking_failed_events", str(row.id))
        assert event.row.status == "pending"
    assert one(explain(connection, accepted.id)).row.status == "accepted"
    assert {each.row.id for each in explain(connection, lead).events} == {
        str(row.id),
        str(accepted.id),
    }


def test_an_event_is_found_by_the_text_that_its_sender_knows_it_by(
    connection: psycopg.Connection, queue: Queue
) -> None:
    # As the importer stores it, and as a site does that keeps its own uuid in the column.
    mapped = queue.add_one(event_payload=payload(event_id="pixel-1"))
    connection.execute(
        "update tracking_failed_events set event_id = %s where id = %s",
        (ledger_event_id("pixel-1"), mapped.id),
    )
    own = queue.add_one(event_payload={"data": [payload(event_id="pixel-2")]})
    assert one(explain(connection, "pixel-1")).row.id == str(mapped.id)
    assert one(explain(connection, " pixel-2 ")).row.id == str(own.id)
    assert explain(connection, "pixel").events == ()


def test_an_order_is_found_wherever_the_reader_finds_it(
    connection: psycopg.Connection, queue: Queue, runs: Runs
) -> None:
    nested = {"event_name": "Purchase", "email": EMAIL, "custom_data": {"orderId": "A-77"}}
    in_text = {"payload": orjson.dumps({**payload(), "order_id": 10024.0}).decode()}
    first = queue.add_one(event_payload=nested)
    queue.add(event_payload=payload(note="about A-77"))
    second = queue.accept_one(event_payload=in_text)
    queue.add(destination="supabase", event_payload=payload(order_id="A-9"))
    runs.run(destinations=("supabase",))
    assert one(explain(connection, "A-77")).row.id == str(first.id)
    assert one(explain(connection, "10024")).row.id == str(second.id)
    tables = [each.row.table for each in explain(connection, "A-9").events]
    assert sorted(tables) == ["tracking_failed_events", "wm_event_log"]


def test_the_newest_comes_first_and_no_more_than_can_be_read(
    connection: psycopg.Connection, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_explain, "MOST_EVENTS", 3)
    monkeypatch.setattr("tracking_pipeline.delivery.explain.MOST_EVENTS", 3)
    now = datetime.now(timezone.utc)
    rows = [
        queue.add_one(event_payload=payload(order_id="A-1"), created_at=now - timedelta(hours=n))
        for n in range(5)
    ]
    found = explain(connection, "A-1")
    assert [each.row.id for each in found.events] == [str(row.id) for row in rows[:3]]
    assert found.more


def test_a_search_that_did_not_see_all_rows_says_so(
    connection: psycopg.Connection, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.add(3)
    assert explain(connection, "nobody's").all_searched
    monkeypatch.setattr(store_explain, "SEARCHED_ROWS", 2)
    assert not explain(connection, "nobody's").all_searched


def test_strange_ids_find_nothing_and_break_nothing(
    connection: psycopg.Connection, queue: Queue
) -> None:
    queue.add()
    for wanted in (
        "",
        " ",
        "undefined",
        "'; drop table leads; --",
        "%",
        "\\",
        '"',
        "{}",
        "é" * 400,
    ):
        assert explain(connection, wanted).events == ()


# --- how it stands ---


def test_a_row_says_how_it_stands_and_its_attempts_in_order(
    connection: psycopg.Connection, queue: Queue, runs: Runs, sandbox: Any
) -> None:
    row = queue.add_one()
    sandbox.scripts.set(row.sent_as, [{"status": 500, "code": 1, "message": f"for {EMAIL}"}, "bad"])
    runs.run()
    event = one(explain(connection, row.id))
    assert (event.row.status, event.row.retry_count) == ("retrying", 1)
    assert event.row.next_retry_at is not None
    queue.make_due()
    runs.run()
    event = one(explain(connection, row.id))
    assert event.row.status == "dead_letter"
    assert event.row.reason
    assert [(each.attempt, each.outcome) for each in event.attempts] == [
        (1, "retry"),
        (2, "rejected"),
    ]
    assert event.attempts[0].at < event.attempts[1].at
    assert {each.run_id for each in event.attempts} == {"run-of-a-test"}
    assert event.attempts[0].http_status == 500
    assert_no_canary(str(event))


def test_an_event_that_was_delivered_at_its_first_try_has_its_attempts_in_the_ledger(
    connection: psycopg.Connection, queue: Queue, runs: Runs
) -> None:
    sent, recorded = queue.accept_one(), queue.accept_one(destination="supabase")
    connection.execute(
        "update tracking_accepted_events set event_id = %s where id = %s",
        (recorded.event_id, sent.id),
    )
    runs.run()
    event = one(explain(connection, recorded.event_id))
    assert (event.row.table, event.row.status) == ("wm_event_log", "recorded")
    assert {each.destination for each in event.attempts} == {"meta_capi", "supabase"}
    # It is there already; the others are asked.
    assert [each.name for each in event.destinations] == ["meta_capi", "google_ec", "gtm_server"]


def test_a_destination_that_takes_nothing_now_says_so(
    connection: psycopg.Connection, queue: Queue
) -> None:
    connection.execute(
        "insert into tracking_destination_state (destination, state, reason, probe_at)"
        " values ('meta_capi', 'open', %s, now())",
        (f"token {TOKEN} expired",),
    )
    row = queue.add_one()
    missing = NotConfigured("google_ec", "set GOOGLE_ADS_ACCOUNT_ID")
    event = one(explain(connection, row.id, [made()[0], missing]))
    meta, google = event.destinations
    assert (meta.outcome, meta.own) == ("would_be_sent", True)
    assert meta.held.startswith("paused: token")
    assert (google.outcome, google.message) == ("not_configured", "set GOOGLE_ADS_ACCOUNT_ID")
    assert_no_canary(str(event))


def test_what_a_lead_adds_is_told_apart_from_what_its_address_told(
    connection: psycopg.Connection, queue: Queue
) -> None:
    source = "mmdb dbip-city-lite 2026-11"
    lead = uuid4()
    connection.execute(
        "insert into leads (id, email, city, state, country, geo_fields)"
        " values (%s, %s, 'Miami', 'Florida', 'US', %s)",
        (lead, EMAIL, Jsonb({"city": {"value": "Miami", "source": source}})),
    )
    row = queue.add_one(event_payload={"event_name": "Lead", "phone": PHONE}, lead_id=lead)
    people = {each.key: each for each in one(explain(connection, row.id)).people}
    assert people["ph"].source == "payload"
    assert (people["em"].source, people["em"].path) == ("lead", "leads.email")
    assert people["ct"].source == f"place of the lead's IP address ({source})"
    assert people["st"].source == "lead"


def test_a_lead_that_thought_better_of_it_is_heeded_where_a_replay_heeds_it(
    connection: psycopg.Connection, queue: Queue
) -> None:
    lead = uuid4()
    connection.execute("insert into leads (id, email) values (%s, %s)", (lead, EMAIL))
    connection.execute(
        "insert into wm_event_log (event_id, event_name, lead_id, metadata)"
        " values (%s, 'Lead', %s, %s)",
        (uuid4(), lead, Jsonb({"consent": {"ad_user_data": "denied", "ad_storage": "denied"}})),
    )
    dead = queue.add_one(lead_id=lead, status="dead_letter")
    event = one(explain(connection, dead.id))
    assert event.lead_consent["ad_user_data"].said == "denied"
    assert of(event, "meta_capi").outcome == "withheld"


# --- nothing of a person, and no secret ---


def loud_payload() -> dict[str, Any]:
    return {
        "event_name": EMAIL,
        "event_id": EMAIL,
        EMAIL: "consent",
        "page_url": f"https://{NAME}:{TOKEN}@shop.example/t?email={EMAIL}&access_token={TOKEN}",
        "order_id": EMAIL,
        "access_token": TOKEN,
        "headers": {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": ADDRESS},
        "note": f"call {PHONE}, {EMAIL}",
        "client_id": EMAIL,
        "session_id": EMAIL,
        "gclid": EMAIL,
        "action_source": EMAIL,
        "user_data": {
            "em": EMAIL,
            "ph": PHONE,
            "fn": NAME,
            "ln": NAME,
            "client_ip_address": ADDRESS,
            "client_user_agent": AGENT,
            "external_id": EMAIL,
            "zp": "94110-canary",
            "address": {"street": STREET, "first_name": NAME, "city": NAME},
        },
        "customer": {
            "full_name": f"{NAME} {NAME}",
            "email": [EMAIL],
            "phones": [{"number": PHONE}],
        },
        "custom_data": {"value": 1, "currency": EMAIL, "content_name": f"for {EMAIL}"},
        "consent": {EMAIL: EMAIL, "marketing": "granted"},
        "opt_out": EMAIL,
    }


@pytest.mark.parametrize("protocol", ["data_client", "measurement_protocol"])
@pytest.mark.parametrize("without", ["", "opt_out", "consent", "user_data", "event_name"])
def test_no_canary_comes_out_whatever_holds_it(
    connection: psycopg.Connection, queue: Queue, protocol: str, without: str
) -> None:
    said = {name: value for name, value in loud_payload().items() if name != without}
    if without in ("opt_out", "consent"):
        said = {name: value for name, value in said.items() if name not in ("opt_out", "consent")}
        said["custom_data"] = {**said["custom_data"], "currency": "EUR"}
        said["event_name"] = "Purchase"
    row = queue.add_one(
        event_payload=said,
        user_data={"email": EMAIL, "phone": PHONE, "name": NAME},
        error_message=f"refused {EMAIL} ({PHONE}), access_token={TOKEN}",
        error_code=f"code {EMAIL}",
        resolved_by=EMAIL,
        status="dead_letter",
        dead_letter_reason=f"invalid {EMAIL}",
    )
    found = explain(connection, row.id, made(protocol))
    event = one(found)
    outcomes = {each.name: each.outcome for each in event.destinations}
    if without in ("opt_out", "consent"):
        assert set(outcomes.values()) == {"would_be_sent"}, outcomes
    assert_no_canary(orjson.dumps(found.as_json(rehearsal=False)).decode())


def test_hashes_are_cut_short(connection: psycopg.Connection, queue: Queue) -> None:
    row = queue.add_one(event_payload=payload(em="ab" * 32, order_id="cd" * 32))
    text = str(explain(connection, row.id))
    assert "ababab" in text
    assert not re.search("[0-9a-f]{20}", text)


# --- what explain says equals what a drain does ---


@dataclass
class Recording:
    """A destination that takes everything, and keeps what it was sent."""

    real: Destination
    sent: dict[UUID, Prepared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.real.name
        self.limits = self.real.limits

    def prepare(self, event: FailedEvent) -> Prepared | NotSent:
        return self.real.prepare(event)

    async def send(self, batch: Sequence[Prepared], now: datetime) -> Reply:
        self.sent |= {each.event.id: each for each in batch}
        return Reply(PerEvent([Delivered() for _ in batch]), 1)


SECONDS = int(datetime.now(timezone.utc).timestamp())
IDS = st.one_of(
    st.sampled_from(["px-1", "undefined", "", 7, 10024.0, [], {"a": 1}, None, True]),
    st.text("abc123-", min_size=1, max_size=12),
)
TIMES = st.sampled_from(
    [SECONDS - 600, (SECONDS - 600) * 1000, SECONDS + 7_200, SECONDS - 86_400 * 9, "soon", None, {}]
)
MONEY = st.sampled_from([5, "1.299,00", "$1,299.00", "free", {"amount": "5"}, None, -1, "CHF 10"])
CONSENTS = st.sampled_from(
    [
        *("denied", "granted", "gibberish", True, False, None, {}, {"marketing": "no"}),
        *(
            {"ad_user_data": "granted", "ad_personalization": "denied"},
            ["marketing"],
            "[object Object]",
        ),
    ]
)
PEOPLE = st.fixed_dictionaries(
    {"em": st.sampled_from(["jane@example.com", "no address", "ab" * 32, ["a@example.com"], 5])},
    optional={
        "phone": st.sampled_from(["+1 650 555 1212", "123", 16505551212]),
        "first_name": st.sampled_from(["Jane", "", "null"]),
        "client_user_agent": st.just("Mozilla/5.0 (X11)"),
        "ip": st.sampled_from(["81.2.69.160", "10.0.0.1", "x"]),
        "city": st.just("Paris"),
        "country": st.sampled_from(["US", "FR", "Nowhere"]),
        "fbp": st.just("fb.1.1700000000000.123456789"),
        "user_id": st.sampled_from(["u-1", "jane@example.com"]),
        "ad_storage": st.sampled_from(["denied", "granted"]),
    },
)
EVENTS = st.fixed_dictionaries(
    {
        "event_name": st.sampled_from(
            ["Lead", "Lead", "Purchase", "purchase", "Lead", "error", ""]
        ),
        "user_data": PEOPLE,
    },
    optional={
        "event_id": IDS,
        "order_id": IDS,
        "event_time": TIMES,
        "value": MONEY,
        "currency": st.sampled_from(["USD", "EUR", "€", "none", 5]),
        "consent": CONSENTS,
        "opt_out": st.sampled_from([True, False, "maybe", 0]),
        "data_processing_options": st.sampled_from([["LDU"], "[]", "LDU", 5]),
        "action_source": st.sampled_from(["website", "app", "physical_store", "moon"]),
        "event_source_url": st.sampled_from(
            ["https://shop.example/t?fbclid=IwAR2abc&gclid=Cj0abc_1", "/t", "www.shop.example/t"]
        ),
        "custom_data": st.fixed_dictionaries(
            {}, optional={"value": MONEY, "state": st.just("done")}
        ),
        "metadata": st.fixed_dictionaries({}, optional={"consent": CONSENTS, "gclid": IDS}),
        "email": st.sampled_from(["jane@example.com", "joe@example.com"]),
    },
)


def wrapped(event: Any, how: str) -> Any:
    return {
        "plain": event,
        "payload": {"payload": event},
        "data": {"data": [event]},
        "text": {"body": orjson.dumps(event).decode(), "id": 5},
        "two": {"events": [event, {**event, "event_id": "another"}]},
        "list": [event],
    }[how]


PAYLOADS = st.builds(
    wrapped, EVENTS, st.sampled_from(["plain", "plain", "payload", "data", "text", "list", "two"])
)
POLICIES = st.sampled_from(
    [
        ReadingPolicy(),
        ReadingPolicy(consent_default="denied"),
        ReadingPolicy(consent_default="granted", privacy_control="denied"),
    ]
)
_NAMES = ("meta_capi", "google_ec", "gtm_server", "supabase")


# To shrink would take as many drains again.
@settings(max_examples=6, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(
    payloads=st.lists(PAYLOADS, min_size=20, max_size=40),
    reads=st.tuples(st.sampled_from(["data_client", "measurement_protocol"]), POLICIES),
)
def test_what_explain_says_equals_what_a_drain_does(
    database_url: str,
    connection: psycopg.Connection,
    queue: Queue,
    payloads: list[Any],
    reads: tuple[str, ReadingPolicy],
) -> None:
    protocol, policy = reads
    for table in ("tracking_failed_events", "tracking_accepted_events"):
        connection.execute(f"delete from {table}".encode())
    recording = [Recording(each) for each in made(protocol, policy)]
    rows: dict[UUID, str] = {}
    for said in payloads:
        for name in _NAMES:
            into = queue.accept if len(rows) % 2 else queue.add
            (row,) = into(1, destination=name, event_payload=Jsonb(said), event_name="")
            rows[row.id] = name
    rules = ReadingRules(policy, site_url="https://shop.example")
    before = {row: one(explain_id(connection, str(row), recording, rules)) for row in rows}

    asyncio.run(retry_failed_events(database_url, lambda client, pool: recording, RetryRequest()))

    for row_id, name in rows.items():
        said_before = of(before[row_id], name)
        (attempt,) = queue.attempts(Added(row_id, row_id))
        sent = next(each.sent for each in recording if each.name == name).get(row_id)
        known_as = {"delivered": "would_be_sent"}.get(attempt["outcome"], attempt["outcome"])
        assert said_before.outcome == known_as, (name, attempt["error_message"])
        if sent is None:
            assert said_before.message == redact(attempt["error_message"])
        else:
            assert said_before.body == shown_body(orjson.loads(sent.body))
            dropped = {(each.key, each.reason): each.count for each in said_before.dropped}
            assert sum(dropped.values()) == len(sent.dropped)
            if name == "meta_capi":
                keys = {*orjson.loads(sent.body)["user_data"]} & set(said_before.match_keys)
                used = {each.key for each in before[row_id].people if "meta" in each.used_by}
                assert keys == used


@settings(max_examples=4, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(payloads=st.lists(PAYLOADS, min_size=10, max_size=20))
def test_a_file_is_explained_as_its_rows_are_once_they_are_imported(
    database_url: str, connection: psycopg.Connection, tmp_path: Path, payloads: list[Any]
) -> None:
    connection.execute("delete from tracking_failed_events")
    now = datetime.now(timezone.utc)
    file = tmp_path / "events.ndjson"
    lines = [
        {"id": str(uuid4()), "event_payload": said, "created_at": now.isoformat()}
        for said in payloads
    ]
    file.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    import_file(database_url, file, "failed-events", destination="google_ec")
    with open_records(file) as opened:
        unstored = list(read_unstored(opened.records, now, "google_ec"))
    compared = 0
    for each in unstored:
        assert isinstance(each, UnstoredEvent)
        of_file = explain_unstored(each.event, made(), RULES, line=each.line, destination=None)
        stored = one(explain(connection, each.event.id))
        for before, after in zip(of_file.destinations, stored.destinations, strict=True):
            assert (before.outcome, before.message) == (after.outcome, after.message)
            assert before.body == after.body
            compared += 1
        assert of_file.people == stored.people
        assert of_file.fields == stored.fields
    assert compared == len(payloads) * 4
