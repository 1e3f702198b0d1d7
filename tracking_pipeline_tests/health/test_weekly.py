"""The digest of a week: what it says, and that each channel gets it once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr
from typer.testing import CliRunner

from tracking_pipeline.cli.app import app
from tracking_pipeline.errors import WrongUseError
from tracking_pipeline.health.notifications.channels import read_channels
from tracking_pipeline.health.notifications.notify import deliver_notifications
from tracking_pipeline.health.view.report_pages import weekly_html
from tracking_pipeline.health.view.weekly import WeeklyDigest, owe_digest, read_weekly_digest
from tracking_pipeline.store.database import Database
from tracking_pipeline.store.failed_events import DELIVERED_BY_US
from tracking_pipeline_tests.health.checking import check_tracking_health
from tracking_pipeline_tests.health.sinks import Mailbox, Webhook, mailbox, webhook
from tracking_pipeline_tests.health.site import Site, policy


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as running:
        yield running


@pytest.fixture
def mails() -> Iterator[Mailbox]:
    with mailbox() as running:
        yield running


@pytest.fixture
def site(connection: psycopg.Connection) -> Site:
    """Five conversions of the week, of which one was saved and one is given up."""
    site = Site(connection)
    worth = {"value": 50, "currency": "EUR"}
    ids = site.add_events(4, at=site.ago(hours=30), metadata=Jsonb(worth))
    site.add_events(at=site.ago(hours=30), metadata=Jsonb({**worth, "order_id": "A-1"}))
    site.add_failed(
        event_id=ids[0],
        created_at=site.ago(hours=30),
        status="resolved",
        resolved_by=DELIVERED_BY_US,
        resolved_at=site.ago(hours=20),
    )
    site.add_failed(
        event_id=ids[1],
        created_at=site.ago(hours=30),
        status="dead_letter",
        dead_letter_reason="no account for emily@example.com",
    )
    return site


@pytest.fixture
def digest(site: Site, database_url: str) -> WeeklyDigest:
    check_tracking_health(database_url, policy())
    return read_weekly_digest(Database(database_url, "a test"), policy(), asks_meta=False)


def test_it_tells_what_arrived_what_was_saved_what_it_is_worth_and_what_to_do(
    digest: WeeklyDigest,
) -> None:
    told = digest.body
    for words in (
        "Meta Conversions API: 80.0 % arrived of 5 conversions that should have arrived",
        "- saved by sending it again: 1 event, worth 50.00 EUR",
        "- missing: 1, worth 50.00 EUR",
        "What to do next:\n1. ",
        "replay",
    ):
        assert words in told
    page = weekly_html(digest)
    assert "1 event, worth 50.00 EUR" in page
    assert digest.title in page
    assert "100.0 % of 1 order came under one event id" in page
    assert "emily" not in told + page
    assert len(told) < 2_000


def test_each_channel_gets_the_digest_of_a_week_once_whatever_runs_twice(
    digest: WeeklyDigest, database_url: str, hook: Webhook, mails: Mailbox
) -> None:
    database = Database(database_url, "a test")
    channels = read_channels(SecretStr(f"{hook.url},{mails.url}"))
    names = [channel.name for channel in channels]

    def run(_: int) -> int:
        owed = owe_digest(database, digest, names)
        deliver_notifications(database, channels)
        return owed

    with ThreadPoolExecutor(4) as executor:
        assert sum(executor.map(run, range(4))) == 2
    deliver_notifications(database, channels)
    assert [(each["title"], each["message"]) for each in hook.received] == [
        (digest.title, digest.body)
    ]
    assert len(mails.received) == 1

    hook.statuses = [503]
    run(0)
    assert len(hook.received) == 1
    assert owe_digest(database, replace(digest, week="2027-W01"), names) == 2


def test_the_verb_shows_it_writes_the_page_and_sends_it_once(
    digest: WeeklyDigest,
    database_url: str,
    hook: Webhook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    run = CliRunner()
    assert isinstance(run.invoke(app, ["digest", "--send"]).exception, WrongUseError)

    monkeypatch.setenv("ALERT_CHANNELS", hook.url)
    page = tmp_path / "week.html"
    told = run.invoke(app, ["digest", "--html", str(page)])
    assert "saved by sending it again" in told.stdout
    assert "1 event, worth 50.00 EUR" in page.read_text()
    assert hook.received == []

    sent = [json.loads(run.invoke(app, ["digest", "--send", "--json"]).stdout) for _ in range(2)]
    assert [each["channels_owed"] for each in sent] == [1, 0]
    meta = sent[0]["destinations"]["meta_capi"]
    assert (meta["delivered_percent"], meta["saved_events"], meta["missing"]) == (80.0, 1, 1)
    assert len(hook.received) == 1

    no_folder = run.invoke(app, ["digest", "--html", str(page / "inside.html")])
    assert isinstance(no_folder.exception, WrongUseError)
