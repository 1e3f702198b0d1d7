"""The health report as a page that needs nothing else (no network, no script), as markdown for
Dagster's UI, and as files: the newest under a name that stays, and one of each day.

reports/latest.html
reports/health-2026-11-24.html    the last one of that day (UTC)
reports/weekly-2026-W48.html      the digest of that week
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from tracking_pipeline.health.formatting import moment
from tracking_pipeline.health.view.accounting import STEP_LABELS
from tracking_pipeline.health.view.alerts import AlertView
from tracking_pipeline.health.view.html import templates
from tracking_pipeline.health.view.report import HealthReport
from tracking_pipeline.health.view.svg import STYLE, Chart, image
from tracking_pipeline.health.view.weekly import WeeklyDigest

LATEST = "latest.html"
DAYS_KEPT = 30
WEEKS_KEPT = 60
# What would be read as markdown or HTML. A reason of a dead letter may hold anything.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def report_html(report: HealthReport) -> str:
    """The page."""
    return _template("report.html").render(report=report, style=_style())


def weekly_html(digest: WeeklyDigest) -> str:
    """The page of a weekly digest."""
    return _template("weekly.html").render(digest=digest, style=_style())


def _style() -> Markup:
    return Markup(STYLE.read_text(encoding="utf-8"))  # noqa: S704  our own file


@cache
def _template(name: str) -> Template:
    return templates().get_template(name)


def report_markdown(report: HealthReport) -> str:
    """The report's first page, as markdown for Dagster's UI, which renders tables and images of
    ``data:``: status, what is wrong, what to do, metrics, then and now, charts. The text is stored
    with every materialization, so it holds what an operator looks at first, and the page the
    rest."""
    return "\n\n".join(_blocks(report)) + "\n"


def _blocks(report: HealthReport) -> Iterator[str]:
    yield f"## Tracking health: {report.status}"
    yield _text(report.headline)
    yield _text(_dated(report))
    if report.problems:
        yield "### What is wrong, and what to do"
        yield "\n".join(_problem(problem) for problem in report.problems)
    if report.advice:
        yield "### Worth doing"
        yield "\n".join(f"- {_text(sentence)}" for sentence in report.advice)
    if report.arrivals:
        yield f"### Did the conversions of {report.arrivals.days} days arrive?"
        yield _table(
            ("destination", "arrived", "change", *STEP_LABELS.values(), "at risk"),
            (
                (
                    each.title,
                    each.percent,
                    each.trend,
                    *(step.events for step in each.steps),
                    each.worth,
                )
                for each in report.arrivals.funnels
            ),
        )
    if report.metrics:
        yield "### Metrics"
        yield _table(
            ("metric", "now", "state", "warning", "critical", "notes"),
            (
                (m.label, m.value, m.level.replace("_", " "), m.warning, m.critical, m.note)
                for m in report.metrics
            ),
        )
    yield "### Then and now"
    yield _table(
        ("what", "without the pipeline", "now"),
        (
            (line.label, f"{line.then} {line.then_note}", f"{line.now} {line.now_note}")
            for line in report.then_and_now
        ),
    )
    yield "### Over time"
    yield "\n\n".join(_chart(chart) for chart in report.charts)
    yield "### How far the score can be trusted"
    yield _text(f"{report.calibration.label}. {' '.join(report.calibration.sentences)}")
    if report.calibration.setting:
        yield f"```\nEMQ_WEIGHTS={report.calibration.setting}\n```"


def _dated(report: HealthReport) -> str:
    checked = f"Last check {moment(report.checked_at)}. " if report.checked_at else ""
    rehearsal = " (a rehearsal: sample data)" if report.rehearsal else ""
    return f"{checked}Report of {moment(report.made_at)} on {report.database}{rehearsal}."


def _problem(problem: AlertView) -> str:
    parts = [f"- **{_text(problem.severity)}** {_text(problem.what)}"]
    if problem.next_step:
        parts.append(f"**Next step:** {_text(problem.next_step)}")
    if problem.handled:
        parts.append(f"({_text(problem.handled)})")
    return " ".join(parts)


def _chart(chart: Chart) -> str:
    if chart.is_empty:
        return f"**{chart.title}**: {_text(chart.summary)}"
    return f"**{chart.title}**\n\n![{_text(chart.summary)}]({image(chart)})"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[_cell(cell) for cell in row] for row in rows]
    lines = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Bad levels stand out: a table of markdown has no colours."""
    return f"**{text}**" if text in ("warning", "critical") else _text(text)


def _text(text: str) -> str:
    """The text on one line, as it stands; what is written as code stays code."""
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0:  # a lone quote of somebody else's
        return _SPECIAL.sub(r"\\\1", "`".join(parts))
    return "".join(
        f"`{part}`" if place % 2 else _SPECIAL.sub(r"\\\1", part)
        for place, part in enumerate(parts)
    )


class ReportFileError(Exception):
    """The report cannot be written. One line: where, and what to do."""


def reports_folder(home: Path) -> Path:
    """The folder of the reports under ``TRACKING_HOME``."""
    return home / "reports"


def write_report(folder: Path, html: str, made_at: datetime) -> Path:
    """Writes the report under both names, each whole or not at all, and removes days that are too
    many. Returns the path that stays. Raises :class:`ReportFileError`."""
    day = made_at.astimezone(timezone.utc).date()
    for name in (f"health-{day.isoformat()}.html", LATEST):
        page = _write(folder, name, html, "health-????-??-??.html", DAYS_KEPT)
    return page


def write_weekly(digest: WeeklyDigest, *, folder: Path, name: str = "") -> Path:
    """Writes the digest as a page. Where no name is given, it is that of its week, and weeks that
    are too many are removed. Returns its path. Raises :class:`ReportFileError`."""
    html = weekly_html(digest)
    if not name:
        name = f"weekly-{digest.week}.html"
        return _write(folder, name, html, "weekly-????-W??.html", WEEKS_KEPT)
    return _write(folder, name, html)


def _write(folder: Path, name: str, html: str, pages: str = "", kept: int = 0) -> Path:
    """Writes a page, whole or not at all; of the ``pages`` (a pattern) the last ones are kept."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / name, html)
        for old in sorted(folder.glob(pages))[:-kept] if pages else ():
            old.unlink(missing_ok=True)
    except OSError as error:
        raise ReportFileError(
            f"the report cannot be written to {folder} ({error.strerror}): "
            "make the folder writable, or choose another (TRACKING_HOME)"
        ) from None
    return folder / name


def _replace(path: Path, text: str) -> None:
    # Two runs at once write two parts, and the last one wins.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
