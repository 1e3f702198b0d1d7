"""Templates and assets of the page: HTML that a strict content security policy goes with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tracking_pipeline.web.page import charts

# Nothing from elsewhere, nothing inline, nobody's frame.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    # A cookie decides what is seen.
    "Vary": "Cookie",
}
_MEDIA_TYPES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file that goes with the pages. Its ``version`` changes with it, so that browsers may keep
    it for ever."""

    content: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """All of them by name."""
    folder = files(__package__) / "assets"
    found = {}
    for name, media_type in _MEDIA_TYPES.items():
        content = (folder / name).read_bytes()
        found[name] = Asset(content, media_type, sha256(content).hexdigest()[:12])
    return found


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = lambda name: f"/assets/{name}?v={assets()[name].version}"
    environment.filters["code"] = _with_code
    environment.globals["gauge_arc"] = charts.gauge_arc
    environment.globals["gauge_tick"] = charts.gauge_tick
    return environment


def _with_code(text: str) -> Markup:
    """The text with what stands between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(parts)
    )


def page_response(template: str, *, status: int = 200, **names: Any) -> HTMLResponse:
    """The template with these names in it."""
    html = _templates().get_template(template).render(names)
    return HTMLResponse(html, status_code=status, headers=_HEADERS)
