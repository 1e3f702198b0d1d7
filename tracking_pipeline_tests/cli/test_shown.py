"""What the table of a retry run says on a terminal of the usual width."""

from __future__ import annotations

import pytest

from tracking_pipeline.cli.delivery import show_retry
from tracking_pipeline.cli.output import out
from tracking_pipeline.delivery.destinations.registry import DestinationName
from tracking_pipeline.delivery.engine.totals import DestinationTotals, RetryTotals

LACKING = DestinationTotals(state="not_configured", detail="set IT")


@pytest.fixture(autouse=True)
def _usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "width", 80)


def shown(
    capsys: pytest.CaptureFixture[str], totals: dict[DestinationName, DestinationTotals]
) -> str:
    show_retry(RetryTotals(by_destination=totals).as_json())
    return capsys.readouterr().out


def test_a_destination_that_is_not_set_up_and_has_no_events_is_a_line_and_no_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    used = DestinationTotals(resolved=1)
    text = shown(capsys, {"supabase": used, "reddit_capi": LACKING})
    assert "│ supabase" in text
    assert "│ reddit_capi" not in text
    assert "reddit_capi: not configured: set IT" in text
    assert "│ reddit_capi" in shown(capsys, {"reddit_capi": LACKING})


def test_no_heading_of_the_table_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = DestinationTotals(state="not_configured", detail="set IT", waiting=1234)
    text = shown(capsys, {"pinterest_capi": waiting})
    assert "…" not in text
    assert {"destination", "state", "resolved", "retrying", "withheld", "left"} <= set(text.split())
