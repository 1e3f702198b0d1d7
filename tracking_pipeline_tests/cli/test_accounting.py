"""The verb ``accounting``, in this process."""

from __future__ import annotations

import json

import psycopg
import pytest
from typer.testing import CliRunner

from tracking_pipeline.cli.app import app
from tracking_pipeline.cli.output import out
from tracking_pipeline.errors import WrongUseError
from tracking_pipeline_tests.health.site import Site


def test_the_verb_tells_what_became_of_the_conversions_and_why(
    connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    site = Site(connection)
    ids = site.add_events(5)
    site.add_failed(event_id=ids[0], status="dead_letter", dead_letter_reason="invalid phone")
    site.add_failed(event_id=ids[1], destination="google_ec")
    run = CliRunner()

    monkeypatch.setattr(out, "width", 200)
    told = run.invoke(app, ["accounting"])
    assert told.exit_code == 0
    for words in ("UTC", "meta_capi", "80.0 %", "invalid phone", str(ids[0])):
        assert words in told.output

    one = json.loads(run.invoke(app, ["accounting", "--json", "--destination", "google_ec"]).stdout)
    assert list(one["destinations"]) == ["google_ec"]
    assert one["destinations"]["google_ec"]["waiting"] == 1

    for wrong in (["--since", "x"], ["--since", "2026-01-02", "--until", "2026-01-01"]):
        assert isinstance(run.invoke(app, ["accounting", *wrong]).exception, WrongUseError)
