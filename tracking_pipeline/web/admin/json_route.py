"""A posted body is JSON, whatever it is labelled: a browser's ``fetch`` with a text as its body
says ``text/plain``, ``curl -d`` says that it is a form.

Such a request needs no preflight, so any page can send it. That it does not act for an admin is not
the label's doing: a session's cookie counts from our own page alone (``Access.admin``), and a
bearer token is never sent by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

_LABEL = b"content-type"


class JsonRoute(APIRoute):
    """Hands the body to the endpoint's model as ``application/json``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_json(request: Request) -> Response:
            headers = [header for header in request.scope["headers"] if header[0] != _LABEL]
            headers.append((_LABEL, b"application/json"))
            return await handle(Request({**request.scope, "headers": headers}, request.receive))

        return handle_as_json
