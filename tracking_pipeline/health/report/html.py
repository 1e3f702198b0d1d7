"""The health report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from tracking_pipeline.health.formatting import moment
from tracking_pipeline.health.report.images import svg
from tracking_pipeline.health.report.report import HealthReport

_TEMPLATE = Path(__file__).with_name("report.html.j2")


def report_html(report: HealthReport) -> str:
    """The page. Whatever stands in the report, a reason of somebody else's among it, is escaped."""
    drawings = {chart.name: svg(chart) for chart in report.charts if not chart.is_empty}
    return _template().render(report=report, drawings=drawings)


def _marked(text: str) -> Markup:
    """The text with what stands between backquotes as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone one of somebody else's
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["moment"] = moment
    environment.filters["marked"] = _marked
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
