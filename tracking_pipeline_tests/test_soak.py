"""The soak in small: mixed events, random scripted faults, and a log that agrees row by row."""

from __future__ import annotations

import pytest

from benchmarks.soak import soak


@pytest.mark.parametrize("seed", [1, 7])
def test_every_event_ends_as_its_script_demands_and_both_logs_agree(
    database_url: str, seed: int
) -> None:
    verdict = soak(database_url, 400, seed)
    assert verdict.agrees, verdict
