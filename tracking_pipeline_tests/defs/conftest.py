"""What the tests of Dagster's definitions share: an instance, and settings to run by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.dagster_instance import fresh_instance


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with fresh_instance() as made:
        yield made


@pytest.fixture
def served_database(monkeypatch: pytest.MonkeyPatch, database_url: str, tmp_path: Path) -> None:
    """The settings name the test's database, and a home of its own."""
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    monkeypatch.setenv("TRACKING_HOME", str(tmp_path))


@pytest.fixture
def meta_on_the_sandbox(
    monkeypatch: pytest.MonkeyPatch, served_database: None, sandbox: Sandbox
) -> None:
    """The sandbox stands where Meta would be, on a database that is not a rehearsal."""
    monkeypatch.setenv("META_DATASET_ID", "123")
    monkeypatch.setenv("META_ACCESS_TOKEN", "token-for-tests")
    monkeypatch.setenv("META_GRAPH_URL", sandbox.meta_url)
