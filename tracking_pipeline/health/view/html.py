"""HTML of health: the templates that the report and the page share, and their one style sheet."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tracking_pipeline.health.formatting import moment
from tracking_pipeline.health.view.svg import gauge_arc, gauge_tick, svg


def templates(*packages: str) -> Environment:
    """The templates of these packages, and the shared ones. Whatever they show, a reason of
    somebody else's among it, is escaped."""
    loaders = [PackageLoader(name, "templates") for name in (*packages, __package__)]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(code=_with_code, moment=moment, svg=svg)
    environment.globals.update(gauge_arc=gauge_arc, gauge_tick=gauge_tick)
    return environment


def _with_code(text: str) -> Markup:
    """The text with what stands between backquotes as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone one of somebody else's
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )
