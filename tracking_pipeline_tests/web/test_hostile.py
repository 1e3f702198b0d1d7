"""Whatever is sent, the server stays up, and says no more than it should.

The requests come from the application's own description of itself, so that a new endpoint is tried
as well.
"""

from __future__ import annotations

from typing import Any

import psycopg
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tracking_pipeline_tests.web.conftest import Serve
from tracking_pipeline_tests.web.serving import AS_ADMIN, FUNCTIONS, Served

# Bounded: each example is a request, and some are runs.
EXAMPLES = 12
STRINGS = (
    "'; drop table leads; --",
    "1' or '1'='1",
    '"; select pg_sleep(60); --',
    "%27%20or%201=1",
    "\\'; --",
    "$$; drop table leads; $$",
    "{{7*7}}",
    "../../etc/passwd",
    "\u202e\ufeff\U0001f600",
    "a" * 499,
)


def test_nothing_that_fits_the_description_or_does_not_is_a_server_error(serve: Serve) -> None:
    served = serve(wait_seconds=0.0)
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:
        try_operation(served, operation)
    assert served.client.get("/healthz").status_code == 200


def try_operation(served: Served, operation: Any) -> None:
    headers = {**AS_ADMIN, "Origin": served.url}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def call(case: Any) -> None:
        case.call_and_validate(
            headers=headers,
            timeout=60,
            checks=[not_a_server_error, status_code_conformance, response_schema_conformance],
        )

    call()


def test_what_looks_like_sql_is_text_and_nothing_else(
    served: Served, connection: psycopg.Connection
) -> None:
    for text in STRINGS:
        for name in ("reason", "error_code", "event_name"):
            assert served.get("/admin-dead-letters", **{name: text})["total"] == 0
        for name in ("start_date", "end_date", "resolved", "limit", "event_id", "destination"):
            for path in ("/admin-tracking-health", "/alerts", "/runs", "/admin-dead-letters"):
                response = served.admin.get(FUNCTIONS + path, params={name: text})
                assert response.status_code in (200, 422), (path, name, text)
        body = {"types": ["no_data"], "hours": 0, "note": text}
        assert served.post("/alerts/silence", body)["changed"] == ["no_data"]
    for table in ("leads", "wm_event_log", "tracking_failed_events"):
        assert connection.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)


def test_a_refusal_repeats_nothing_of_what_was_sent(served: Served) -> None:
    canary = "emily.canary@example.com"
    body = {"types": [canary], "ids": [canary], "note": 1, canary: canary}
    response = served.admin.post(f"{FUNCTIONS}/alerts/resolve", json=body)
    assert response.status_code == 422
    assert canary not in response.text


def test_json_that_is_none_is_refused(served: Served) -> None:
    path = f"{FUNCTIONS}/alerts/resolve"
    headers = {"Content-Type": "application/json"}
    for content in (
        b"{",
        b"\xff\xfe",
        b'{"types": ["no_data"], "note": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"NaN",
        b"1" * 10_000,
        b'{"ids": [' + b"1," * 10_000 + b"1]}",
    ):
        response = served.admin.post(path, content=content, headers=headers)
        assert response.status_code in (400, 422), (content[:20], response.status_code)
        assert response.json()["success"] is False
