"""The forwarding functions of ``docs/edge-functions``: where Deno is installed, as it runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI

from tracking_pipeline.web.app import ROUTERS
from tracking_pipeline_tests.web.intake_site import ADMIN_TOKEN, KEY, Site, site

FOLDER = Path(__file__).parent.parent / "docs" / "edge-functions"
ADDRESS, ANOTHERS = "81.2.69.160", "81.2.70.7"
AGENT = "Mozilla/5.0 (iPhone) Safari/605.1"

needs_deno = pytest.mark.skipif(shutil.which("deno") is None, reason="deno is not on the PATH")


@contextmanager
def deployed(name: str, api_url: str) -> Iterator[httpx.Client]:
    """A function as the edge runs it: reached under its own name, behind a proxy that names the
    visitor."""
    environment = {
        **os.environ,
        "TRACKING_API_URL": api_url,
        "DENO_SERVE_ADDRESS": "tcp:127.0.0.1:0",
        "DENO_NO_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    allowed = ("--allow-net=127.0.0.1", "--allow-env=TRACKING_API_URL", "--no-remote")
    process = subprocess.Popen(
        ["deno", "run", *allowed, str(FOLDER / name / "index.ts")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = (line for line in process.stdout if "Listening" in line)
        told = re.search(r":(\d+)/", next(lines, ""))
        assert told is not None, "deno did not start the function"
        hops = f"{ADDRESS}, 198.51.100.1"
        headers = {"apikey": KEY, "user-agent": AGENT, "x-forwarded-for": hops}
        url = f"http://127.0.0.1:{told[1]}"
        with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def api(connection: psycopg.Connection, database_url: str) -> Iterator[Site]:
    # The functions' own address says nothing here, as on Supabase.
    with site(connection, database_url, trusted_proxies="") as running:
        yield running


def test_every_function_is_an_endpoint() -> None:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    functions = {folder.parent.name for folder in FOLDER.glob("*/index.ts")}

    assert len(functions) == 6
    assert {f"/functions/v1/{name}" for name in functions} <= set(app.openapi()["paths"])


@needs_deno
def test_an_event_is_the_visitors_and_not_the_functions(api: Site) -> None:
    event = {"event_name": "Lead", "event_id": "ev-1", "email": "emily@example.com"}
    with deployed("log-event", str(api.http.base_url)) as function:
        answer = function.post("/log-event", json=event)

    assert (answer.status_code, answer.json()["event_id"]) == (200, "ev-1")
    assert answer.headers["access-control-allow-origin"] == "*"
    (row,) = api.ledger()
    assert row["user_data"]["client_ip_address"] == ADDRESS
    assert row["user_data"]["client_user_agent"] == AGENT


@needs_deno
@pytest.mark.parametrize(
    "person",
    [
        {"client_ip_address": ANOTHERS},
        {"user_data": {"client_ip_address": ANOTHERS}},
        {"lead": {"client_ip_address": ANOTHERS}},
        {"client": {"ip": ANOTHERS}},
        {"context": {"ip": ANOTHERS}},
    ],
    ids=["flat", "Meta's", "in a lead", "in a client", "in a context"],
)
def test_a_server_that_names_its_visitor_is_believed(api: Site, person: dict[str, Any]) -> None:
    with deployed("log-event", str(api.http.base_url)) as function:
        assert function.post("/log-event", json={"event_name": "Lead", **person}).is_success

    assert api.ledger()[0]["user_data"]["client_ip_address"] == ANOTHERS


@needs_deno
def test_a_forms_own_browser_is_not_replaced_by_the_functions_caller(api: Site) -> None:
    form = {"email": "emily@example.com", "lead": {"user_agent": "Mozilla/5.0 of the form"}}
    with deployed("save-lead", str(api.http.base_url)) as function:
        assert function.post("/save-lead", json=form).is_success

    (lead,) = api.leads()
    assert (lead["client_ip"], lead["client_user_agent"]) == (None, "Mozilla/5.0 of the form")


@needs_deno
def test_a_lead_keeps_its_visitors_address_and_is_saved_once(api: Site) -> None:
    key = {"idempotency-key": "form-1"}
    with deployed("save-lead", str(api.http.base_url)) as function:
        for _ in range(2):
            form = {"email": "emily@example.com"}
            assert function.post("/save-lead", json=form, headers=key).is_success

    (lead,) = api.leads()
    assert (lead["client_ip"], lead["client_user_agent"]) == (ADDRESS, AGENT)


@needs_deno
def test_what_the_api_refuses_is_refused_with_its_own_words(api: Site) -> None:
    with deployed("log-event", str(api.http.base_url)) as function:
        broken = function.post("/log-event", content=b"{")
        several = function.post("/log-event", json=["no", "event"])
        stranger = function.post("/log-event", json={}, headers={"apikey": "a-key-of-nobodys"})

    assert (broken.status_code, broken.json()["error"]) == (400, "the body is not JSON")
    assert several.status_code == 422
    assert stranger.status_code == 401


@needs_deno
def test_an_admins_token_goes_along_and_the_query_too(api: Site) -> None:
    admin = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    with deployed("admin-tracking-health", str(api.http.base_url)) as function:
        query = {"start_date": "2026-11-01", "end_date": "2026-11-02"}
        known = function.get("/admin-tracking-health", params=query, headers=admin)
        wrong = function.get(
            "/admin-tracking-health", params={"start_date": "nonsense"}, headers=admin
        )
        nobody = function.get("/admin-tracking-health")

    assert known.json()["fixQueue"]["pendingCount"] == 0
    assert wrong.status_code == 422
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")


@needs_deno
def test_a_run_is_asked_for_below_the_functions_own_name(api: Site) -> None:
    admin = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    with deployed("runs", str(api.http.base_url)) as function:
        one = function.get("/runs/00000000-0000-0000-0000-000000000000", headers=admin)
        all_of_them = function.get("/runs", headers=admin)

    assert one.status_code == 404
    assert all_of_them.json() == {"runs": []}


@needs_deno
def test_a_browser_may_ask_first() -> None:
    with deployed("save-lead", "http://127.0.0.1:1") as function:
        answer = function.options("/save-lead")

    assert answer.status_code == 204
    assert "apikey" in answer.headers["access-control-allow-headers"]


@needs_deno
def test_an_api_that_is_away_is_worth_another_try() -> None:
    with deployed("save-lead", "http://127.0.0.1:1") as function:
        answer = function.post("/save-lead", json={"email": "emily@example.com"})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["success"] is False
