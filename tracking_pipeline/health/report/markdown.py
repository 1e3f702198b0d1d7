"""The health report as markdown for Dagster's UI, which renders tables and images of ``data:``.

The text is stored with every materialization: it holds what an operator looks at first, and names
the file that holds the rest.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence

from tracking_pipeline.health.formatting import moment
from tracking_pipeline.health.report.charts import Chart
from tracking_pipeline.health.report.images import png
from tracking_pipeline.health.report.report import HealthReport, Problem

# What would be read as markdown or HTML. A reason of a dead letter may hold anything.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def report_markdown(report: HealthReport) -> str:
    """The report's first page: status, what is wrong, what to do, metrics, charts, then and now."""
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


def _problem(problem: Problem) -> str:
    parts = [f"- **{_text(problem.severity)}** {_text(problem.what)}"]
    if problem.next_step:
        parts.append(f"**Next step:** {_text(problem.next_step)}")
    if problem.note:
        parts.append(f"({_text(problem.note)})")
    return " ".join(parts)


def _chart(chart: Chart) -> str:
    if chart.is_empty:
        return f"**{chart.title}**: {_text(chart.summary)}"
    image = b64encode(png(chart)).decode()
    return f"**{chart.title}**\n\n![{_text(chart.summary)}](data:image/png;base64,{image})"


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
