"""What a run gave, in the words of the API. The process of the run makes it."""

from __future__ import annotations

from typing import Any

import dagster as dg


def retry_answer(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The totals of a retry run, also under the dashboard's own names."""
    totals: dict[str, Any] = result.output_for_node("summarize_retry").as_json()
    return {**totals, "ok": totals["success"], "deadLettered": totals["dead_lettered"]}


def replay_answer(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The totals of a replay."""
    totals: dict[str, Any] = result.output_for_node("replay_dead_letters").as_json()
    return totals
