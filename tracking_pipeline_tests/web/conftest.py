"""A server over a migrated database, with the sandbox where Meta would be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.web.serving import Served, serving

Serve = Callable[..., Served]


@pytest.fixture
def serve(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server with these settings; those of ``serving`` by their own names."""
    with ExitStack() as stack:

        def start(*, wait_seconds: float = 60.0, **settings: str) -> Served:
            monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
            for name, value in settings.items():
                monkeypatch.setenv(name, value)
            return stack.enter_context(serving(wait_seconds=wait_seconds))

        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """A server on which nothing but the database is configured."""
    return serve()


@pytest.fixture
def with_meta(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox stands where Meta would be."""
    monkeypatch.setenv("META_DATASET_ID", "123")
    monkeypatch.setenv("META_ACCESS_TOKEN", "token-for-tests")
    monkeypatch.setenv("META_GRAPH_URL", sandbox.meta_url)
    return sandbox
