"""The asset meta_reported_emq, its job and its schedule."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import psycopg
import pytest

from tracking_pipeline.definitions import build_defs
from tracking_pipeline.defs.health.meta_reported_emq import read_meta_emq_schedule
from tracking_pipeline.defs.resources import TrackingResource
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.health_history import read_reported_scores
from tracking_pipeline.store.rehearsal import mark_rehearsal
from tracking_pipeline_tests.health.site import EVERYTHING, Site
from tracking_pipeline_tests.health.test_reported_emq import post_events

TOKEN = "EAAB-the-secret-token-of-the-dataset"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch, meta_on_the_sandbox: None) -> None:
    monkeypatch.setenv("META_ACCESS_TOKEN", TOKEN)


def run() -> dg.ExecuteInProcessResult:
    return build_defs().resolve_job_def("read_meta_emq_job").execute_in_process()


def metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, dg.MetadataValue]:
    (made,) = result.asset_materializations_for_node("meta_reported_emq")
    return made.metadata


def tick() -> dg.RunRequest | dg.SkipReason:
    answer = read_meta_emq_schedule(dg.build_schedule_context(), tracking=TrackingResource())
    assert isinstance(answer, (dg.RunRequest, dg.SkipReason))
    return answer


def test_each_event_name_s_score_is_a_number_of_its_own(
    connection: psycopg.Connection, sandbox: Sandbox
) -> None:
    post_events(sandbox, {"em": [EVERYTHING["em"]]}, {"fbp": EVERYTHING["fbp"]})
    post_events(sandbox, {"ph": [EVERYTHING["ph"]]}, name="Contact")
    result = run()
    made = metadata(result)
    assert made["events"].value == 2
    assert isinstance(made["reported_emq_Lead"], dg.FloatMetadataValue)
    assert isinstance(made["by_event"], dg.TableMetadataValue)
    kept = read_reported_scores(connection, Site(connection).ago(days=1))
    assert {each.event_name for each in kept} == {"Lead", "Contact"}
    assert TOKEN not in str(result.all_events)


@pytest.mark.parametrize("status", [400, 503])
def test_while_meta_is_down_the_run_succeeds_and_says_so(sandbox: Sandbox, status: int) -> None:
    sandbox.conditions["meta_capi"].outage(status)
    result = run()
    made = metadata(result)
    assert result.success
    assert made["state"].value == "unavailable"
    assert made["detail"].value
    assert TOKEN not in str(result.all_events)


def test_without_a_token_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("META_ACCESS_TOKEN")
    made = metadata(run())
    assert made["state"].value == "not_configured"
    assert "META_ACCESS_TOKEN" in str(made["detail"].value)


def test_a_rehearsal_asks_nobody_whatever_is_configured(
    connection: psycopg.Connection, sandbox: Sandbox
) -> None:
    post_events(sandbox, {"em": [EVERYTHING["em"]]})
    mark_rehearsal(connection)
    assert metadata(run())["state"].value == "not_configured"
    assert read_reported_scores(connection, Site(connection).ago(days=1)) == []


def test_the_schedule_launches_only_where_there_is_something_to_ask(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(tick(), dg.RunRequest)
    monkeypatch.delenv("META_ACCESS_TOKEN")
    assert isinstance(tick(), dg.SkipReason)
    monkeypatch.setenv("META_ACCESS_TOKEN", TOKEN)
    mark_rehearsal(connection)
    assert isinstance(tick(), dg.SkipReason)
