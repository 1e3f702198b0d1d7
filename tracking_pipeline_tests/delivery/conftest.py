"""A queue, a sandbox and runs over them: each test has its own."""

from __future__ import annotations

import pytest

from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.delivery.runs import Runs


@pytest.fixture
def runs(database_url: str, sandbox: Sandbox) -> Runs:
    return Runs(database_url, sandbox)
