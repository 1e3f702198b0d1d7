"""A site with three events survives every fault of an account: no try is lost, and once the fault
is mended the events go out by themselves. Time passes by SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from benchmarks.retry_stand import Addresses, make_destination
from tracking_pipeline.delivery.destinations.ledger import Ledger
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.destination import Destination
from tracking_pipeline.delivery.engine.retry import RetryRequest, retry_failed_events
from tracking_pipeline.delivery.engine.totals import DestinationTotals
from tracking_pipeline.http_client import DeliveryClient
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.sandbox.steps import RawStep
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline_tests.delivery.failed_event_queue import Added, Queue, payload

# What a claim and a settle that spends nothing may leave behind.
BOOKKEEPING = {"lease_token", "updated_at"}
# Some: what one spends, the next would spend again.
PROBES = 2

META: dict[str, RawStep] = {
    "bad token": {"status": 401, "code": 190},
    "bad token, told by a 500": {"status": 500, "code": 190},
    "missing permission": {"status": 403, "code": 10},
    "terms not accepted": {"status": 403, "code": 200, "subcode": 1870034},
    "version that ended": {"status": 400, "code": 2635, "message": "a version that ended"},
    "wrong dataset": {"status": 400, "code": 100, "subcode": 33},
    "unknown path": {"status": 400, "code": 2500, "message": "Unknown path components: /events"},
    "wrong signature": {"status": 400, "code": 104, "message": "Incorrect signature"},
    "policy block": {"status": 400, "code": 368},
    "firewall in between": {"status": 403, "code": 1_000_001},
}
GOOGLE: dict[str, RawStep] = {
    "bad token": {"status": 401},
    "missing permission": {"status": 403, "message": "PERMISSION_DENIED"},
    "terms not accepted": {"status": 400, "message": "TERMS_AND_CONDITIONS_NOT_SIGNED"},
    "wrong account": {"status": 400, "message": "INVALID_DESTINATION"},
    "wrong conversion action": {"status": 400, "message": "INVALID_CONVERSION_ACTION_ID"},
    "API not enabled": {"status": 403, "message": "SERVICE_DISABLED"},
    "version that ended, or unknown path": {"status": 404},
}
GTM: dict[str, RawStep] = {
    "bad token": {"status": 401},
    "missing permission": {"status": 403},
    "unknown path": {"status": 404},
    "moved": {"status": 302},
    "version that ended": {"status": 410},
}
LEDGER: dict[str, tuple[str, str]] = {
    "missing permission": (
        "create function refuse() returns trigger language plpgsql as $$ begin"
        " raise exception 'no' using errcode = 'insufficient_privilege'; end $$;"
        "create trigger refuse before insert on wm_event_log"
        " for each statement execute function refuse()",
        "drop trigger refuse on wm_event_log",
    ),
    "unknown table": (
        "alter table wm_event_log rename to elsewhere",
        "alter table elsewhere rename to wm_event_log",
    ),
    "version that ended: a column is gone": (
        "alter table wm_event_log rename column fbp to browser",
        "alter table wm_event_log rename column browser to fbp",
    ),
}


@dataclass
class Site:
    """One site with every destination, at the sandbox."""

    url: str
    sandbox: Sandbox
    queue: Queue
    gtm_url: str = ""
    rows: list[Added] = field(default_factory=list)

    def run(self, destination: DestinationName) -> DestinationTotals:
        """A run as the schedule makes it: nobody asked for it."""
        request = RetryRequest(destinations=(destination,))
        totals = asyncio.run(retry_failed_events(self.url, self._make, request))
        return totals.by_destination[destination]

    def probe(self, destination: DestinationName) -> DestinationTotals:
        """The run in which the destination's next probe is due."""
        self.queue.connection.execute("update tracking_destination_state set probe_at = now()")
        return self.run(destination)

    def unspent(self) -> list[dict[str, Any]]:
        return [
            {name: value for name, value in self.queue.row(row).items() if name not in BOOKKEEPING}
            for row in self.rows
        ]

    def _make(self, client: DeliveryClient, pool: AsyncPool) -> Sequence[Destination]:
        sandbox = self.sandbox
        gtm = self.gtm_url or sandbox.gtm_url
        addresses = Addresses(sandbox.meta_url, sandbox.google_url, gtm)
        names: tuple[DestinationName, ...] = ("meta_capi", "google_ec", "gtm_server")
        return [*(make_destination(name, addresses, client, pool) for name in names), Ledger(pool)]


@pytest.fixture
def site(database_url: str, sandbox: Sandbox, queue: Queue) -> Site:
    return Site(database_url, sandbox, queue)


def wait_for(site: Site, destination: DestinationName) -> None:
    """Three events, one of them with its last try."""
    agent = {"client_user_agent": "Mozilla/5.0", "client_ip_address": "8.8.8.8"}
    values: dict[str, Any] = {"destination": destination, "event_payload": payload(**agent)}
    site.rows = site.queue.add(2, **values) + site.queue.add(1, **values, retry_count=4)


def survives(site: Site, destination: DestinationName) -> None:
    """Run after run and probe after probe, as long as the fault lasts."""
    before = site.unspent()
    for totals in (site.run(destination), *(site.probe(destination) for _ in range(PROBES))):
        assert (totals.state, totals.processed) == ("paused", 0), totals
        assert site.unspent() == before
    assert [alert["alert_type"] for alert in site.queue.alerts()] == ["destination_paused"]
    assert site.queue.alerts()[0]["resolved_at"] is None


def recovers(site: Site, destination: DestinationName) -> None:
    """The next probe after the fault is mended brings all events home."""
    totals = site.probe(destination)
    assert (totals.state, totals.resolved) == ("ok", 3)
    assert site.queue.statuses() == {"resolved": 3}
    assert site.queue.state(destination)["state"] == "closed"
    assert site.queue.alerts()[0]["resolved_at"] is not None
    if destination == "supabase":
        assert site.queue.one("select count(*) from wm_event_log") == 3
    else:
        assert {site.sandbox.memory.accepted(row.sent_as) for row in site.rows} == {1}


OF_PLATFORMS: tuple[tuple[DestinationName, dict[str, RawStep]], ...] = (
    ("meta_capi", META),
    ("google_ec", GOOGLE),
    ("gtm_server", GTM),
)


@pytest.mark.parametrize(
    ("destination", "step"),
    [
        pytest.param(name, step, id=f"{name}: {fault}")
        for name, faults in OF_PLATFORMS
        for fault, step in faults.items()
    ],
)
def test_three_events_survive_a_fault_of_the_account(
    site: Site, destination: DestinationName, step: RawStep
) -> None:
    wait_for(site, destination)
    site.sandbox.conditions[destination].outage(step)
    survives(site, destination)
    site.sandbox.conditions[destination].outage(None)
    recovers(site, destination)


@pytest.mark.parametrize(("breaks", "mends"), LEDGER.values(), ids=LEDGER)
def test_three_events_survive_a_ledger_that_cannot_be_written(
    site: Site, connection: psycopg.Connection[Any], breaks: str, mends: str
) -> None:
    wait_for(site, "supabase")
    connection.execute(breaks.encode())
    survives(site, "supabase")
    connection.execute(mends.encode())
    recovers(site, "supabase")


def test_three_events_survive_a_container_that_is_not_published(site: Site) -> None:
    wait_for(site, "gtm_server")
    site.gtm_url = f"{site.sandbox.url}/gtm/unpublished"
    survives(site, "gtm_server")
    site.gtm_url = ""
    recovers(site, "gtm_server")
