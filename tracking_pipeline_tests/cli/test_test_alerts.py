"""``tracking-pipeline test-alerts``: whether alerts would arrive."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tracking_pipeline.cli.entry import main
from tracking_pipeline_tests.health.sinks import SECRET, webhook


def call(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, Any]]:
    monkeypatch.setattr(sys, "argv", ["tracking-pipeline", "test-alerts", "--json", *options])
    with pytest.raises(SystemExit) as end:
        main()
    told = capfd.readouterr()
    assert SECRET not in told.out + told.err
    assert isinstance(end.value.code, int)
    return end.value.code, json.loads(told.out)


def test_each_channel_gets_one_message_and_says_what_it_made_of_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with webhook() as good, webhook() as bad:
        bad.statuses = [404]
        nobody = f"json://127.0.0.1:1/{SECRET}"
        monkeypatch.setenv(
            "ALERT_CHANNELS", f"{good.url}, {bad.url}, nonsense://{SECRET}, {nobody}"
        )
        status, told = call(monkeypatch, capfd)
    assert (status, told["success"]) == (1, False)
    assert [each["delivered"] for each in told["results"]] == [True, False, False, False]
    assert [each["position"] for each in told["results"]] == [1, 2, 3, 4]
    assert all(each["detail"] for each in told["results"][1:])
    assert len(good.received) == 1
    assert "Nothing is wrong" in good.received[0]["message"]


def test_channels_that_take_it_are_a_success(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with webhook() as sink:
        monkeypatch.setenv("ALERT_CHANNELS", sink.url)
        assert call(monkeypatch, capfd)[0] == 0


def test_without_a_channel_it_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ALERT_CHANNELS", raising=False)
    status, told = call(monkeypatch, capfd)
    assert status == 2
    assert told["error"].startswith("ALERT_CHANNELS is not set")
