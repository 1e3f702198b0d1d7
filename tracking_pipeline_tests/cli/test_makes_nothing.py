"""What makes nothing: a dry run, and wrong use. No database, no storage for runs, no folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tracking_pipeline.cli.entry import main

VERBS = ("retry", "enrich", "replay")


def call(
    verb: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, object]]:
    monkeypatch.setattr(sys, "argv", ["tracking-pipeline", verb, "--dry-run", "--json"])
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), json.loads(capfd.readouterr().out)


@pytest.mark.parametrize("verb", VERBS)
def test_it_makes_nothing_in_a_fresh_home(
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    database_url: str,
) -> None:
    home = tmp_path / "none"
    monkeypatch.setenv("TRACKING_HOME", str(home))
    monkeypatch.delenv("TRACKING_DATABASE_URL", raising=False)
    status, told = call(verb, monkeypatch, capfd)
    assert (status, str(told["error"])[:20]) == (1, "nothing is here yet:")
    monkeypatch.setenv("TRACKING_DATABASE_URL", database_url)
    status, told = call(verb, monkeypatch, capfd)
    assert (status, told["success"], told["dry_run"]) == (0, True, True)
    assert not home.exists()


def test_a_home_that_is_a_file_is_told_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    home = tmp_path / "file"
    home.touch()
    monkeypatch.setenv("TRACKING_HOME", str(home))
    monkeypatch.setattr(sys, "argv", ["tracking-pipeline", "check", "--json"])
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "set TRACKING_HOME to a folder" in json.loads(capfd.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("import {file} --into leads --destination meta_capi", "leave it out for leads"),
        ("retry --destination meta", "wrong use: Invalid value for '--destination': 'meta' is not"),
    ],
)
def test_wrong_use_is_told_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: str,
    told: str,
) -> None:
    file, home = tmp_path / "leads.csv", tmp_path / "none"
    file.write_text("email\njane@example.com\n")
    monkeypatch.setenv("TRACKING_HOME", str(home))
    arguments = words.format(file=file).split()
    monkeypatch.setattr(sys, "argv", ["tracking-pipeline", *arguments, "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert told in json.loads(capfd.readouterr().out)["error"]
    assert not home.exists()
