"""``tracking-pipeline test-alerts``: whether alerts would arrive."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from tracking_pipeline.cli.entry import main
from tracking_pipeline.health.notifications.channels import read_channels
from tracking_pipeline.store.alert_notifications import Notification, enqueue, read_outbox
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


def test_channels_that_take_it_are_a_success_and_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with webhook() as sink:
        monkeypatch.setenv("ALERT_CHANNELS", sink.url)
        monkeypatch.setenv("TRACKING_HOME", str(tmp_path / "none"))
        assert call(monkeypatch, capfd)[0] == 0
    assert not (tmp_path / "none").exists()


def test_what_waits_for_a_channel_that_takes_it_is_due_at_once(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    connection: psycopg.Connection,
    database_url: str,
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    with webhook() as good, webhook() as bad:
        bad.statuses = [404]
        monkeypatch.setenv("ALERT_CHANNELS", f"{good.url}, {bad.url}")
        both = read_channels(SecretStr(f"{good.url}, {bad.url}"))
        message = Notification(uuid4(), "dead_letters", "started", "critical", "It", "is so.", "k")
        enqueue(connection, [message], [each.name for each in both])
        connection.execute(
            "update tracking_alert_notifications set next_attempt_at = now() + interval '1 hour'"
        )
        assert call(monkeypatch, capfd)[1]["hastened"] == 1
    assert read_outbox(connection, [each.name for each in both]).due == 1


def test_without_a_channel_it_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ALERT_CHANNELS", raising=False)
    status, told = call(monkeypatch, capfd)
    assert status == 2
    assert told["error"].startswith("ALERT_CHANNELS is not set")
