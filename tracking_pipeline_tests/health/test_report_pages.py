"""The report as a page, as markdown, and as files."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from tracking_pipeline.health.view.report import HealthReport, make_report
from tracking_pipeline.health.view.report_pages import (
    DAYS_KEPT,
    ReportFileError,
    report_html,
    report_markdown,
    write_report,
)
from tracking_pipeline.store.health_snapshots import Snapshot
from tracking_pipeline_tests.health.recorded import (
    NOW,
    last_check,
    new_site,
    reported,
    sick_site,
)

ONE_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def sick() -> HealthReport:
    return make_report(sick_site(reported=reported(12), asks_meta=True))


@pytest.fixture(scope="module")
def text(sick: HealthReport) -> str:
    return report_html(sick)


@pytest.fixture(scope="module")
def markdown(sick: HealthReport) -> str:
    return report_markdown(sick)


class Page(HTMLParser):
    """What a screen reader and a browser take from a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.images: list[str | None] = []
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.labelled_by: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        if given.get("role") == "img":
            self.images.append(given.get("aria-label"))
        for name in ("src", "href", "xlink:href"):
            if given.get(name) and not str(given[name]).startswith("#"):
                self.fetched.append(str(given[name]))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if given.get("aria-labelledby"):
            self.labelled_by.append(str(given["aria-labelledby"]))


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    page = Page(text)
    assert page.fetched == []
    assert not page.tags & {"script", "link", "iframe", "object", "img"}
    assert "@import" not in text


def test_the_page_reads_without_seeing_it(text: str) -> None:
    page = Page(text)
    assert page.headings.count("h1") == 1
    assert {"header", "main", "title"} <= page.tags
    steps = [int(each[1]) for each in page.headings]
    assert all(later - sooner <= 1 for sooner, later in pairwise(steps))
    assert len(page.images) == 6
    assert all(label and len(label) > 20 for label in page.images)
    assert set(page.labelled_by) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_knows_light_and_dark_and_phones(text: str) -> None:
    assert "prefers-color-scheme: dark" in text
    assert "width=device-width" in text
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    light, dark = text.split("@media (prefers-color-scheme: dark)", 1)
    for name in used:
        assert f"{name}:" in light
        assert f"{name}:" in dark[: dark.index("* {")]


def test_what_others_wrote_is_escaped(text: str) -> None:
    assert "<b>for</b>" not in text
    assert "&lt;b&gt;for&lt;/b&gt;" in text
    assert "<code>tracking-pipeline status</code>" in text


def test_what_was_withheld_stands_apart_from_what_failed(text: str) -> None:
    assert "Withheld" not in text
    detail = {
        "by_reason": [
            {
                "destination": "google_ec",
                "reason": "consent <i>denied</i>",
                "last_day": 12,
                "last_week": 1340,
            }
        ]
    }
    withheld = Snapshot("withheld", None, 12, detail=detail)

    report = make_report(sick_site(snapshots=[*last_check(), withheld]))

    shown = report_html(report)
    assert "Withheld, by reason" in shown
    assert "1,340" in shown
    assert "<i>denied" not in shown
    assert "Google enhanced conversions" in shown
    assert [line.events for line in report.dead_letters] == [37, 2]


def test_the_fit_is_offered_with_its_error(text: str) -> None:
    assert "EMQ_WEIGHTS=em=" in text
    assert re.search(r"is off by \d\.\d\d points; calibrated, it would be off by \d\.\d\d", text)


def test_without_meta_s_scores_the_page_has_no_columns_for_them() -> None:
    text = report_html(make_report(sick_site()))
    assert "Meta reports" not in text
    assert "uncalibrated estimate" in text


def test_a_new_site_has_a_page_too() -> None:
    text = report_html(make_report(new_site()))
    assert "Tracking health: unknown" in text
    assert "<svg" not in text
    assert "failed in the last 7 days" not in text


def test_a_rehearsal_is_called_one() -> None:
    report = make_report(new_site(rehearsal=True))
    assert "a rehearsal" in report_html(report)
    assert "a rehearsal" in report_markdown(report)


def test_markdown_begins_with_what_matters_and_shows_the_charts(markdown: str) -> None:
    first = markdown.split("\n\n")
    assert first[0] == "## Tracking health: critical"
    assert first[1].startswith("2 alerts open, 1 of them critical")
    assert markdown.count("](data:image/svg+xml;base64,") == 6
    assert "| Failed events waiting | 12 | **critical** | above 5 | above 10 |" in markdown


def test_the_markdown_stays_small_enough_to_be_stored_each_time(markdown: str) -> None:
    assert len(markdown) < 60_000


def test_a_cell_of_somebody_else_s_breaks_no_table(sick: HealthReport) -> None:
    metric = replace(sick.metrics[0], note="a | b\n<img src=x> [x](http://e.example)")
    text = report_markdown(replace(sick, metrics=[metric]))
    (row, _) = (line for line in text.splitlines() if line.startswith("| EMQ score (estimate) |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 7
    assert "<img" not in row.replace(r"\<", "")
    assert "](http" not in row.replace(r"\]", "")


def test_a_report_is_kept_under_two_names(tmp_path: Path) -> None:
    path = write_report(tmp_path / "reports", "<p>first", NOW)
    assert path.name == "latest.html"
    write_report(tmp_path / "reports", "<p>second", NOW)
    names = sorted(each.name for each in (tmp_path / "reports").iterdir())
    assert names == ["health-2026-11-24.html", "latest.html"]
    assert {each.read_text() for each in (tmp_path / "reports").iterdir()} == {"<p>second"}


def test_old_days_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "health-notes.html").write_text("somebody's own")
    for day in range(DAYS_KEPT + 3):
        write_report(tmp_path, "<p>", NOW + day * ONE_DAY)
    days = [date.fromisoformat(each.stem[7:]) for each in tmp_path.glob("health-2*.html")]
    assert len(days) == DAYS_KEPT
    assert max(days) == (NOW + (DAYS_KEPT + 2) * ONE_DAY).date()
    assert (tmp_path / "health-notes.html").exists()


def test_a_folder_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file in the way")
    with pytest.raises(ReportFileError) as caught:
        write_report(tmp_path / "reports", "<p>", NOW)
    assert str(tmp_path / "reports") in str(caught.value)
    assert "TRACKING_HOME" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_write_that_fails_leaves_the_last_report_whole(tmp_path: Path) -> None:
    write_report(tmp_path, "<p>whole", NOW)
    with pytest.raises(UnicodeEncodeError):
        write_report(tmp_path, "<p>\ud800", NOW)
    assert (tmp_path / "latest.html").read_text() == "<p>whole"
    assert sorted(os.listdir(tmp_path)) == ["health-2026-11-24.html", "latest.html"]
