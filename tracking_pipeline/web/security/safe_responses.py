"""The last thing before the socket: headers that every answer has, and an answer for every bug."""

from __future__ import annotations

import logging
import traceback

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracking_pipeline.web.errors import error_response

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = logging.getLogger(__name__)


class SafeResponses:
    """ASGI middleware, the outermost one. A handler's own header wins over the usual one.

    A bug is answered with 500 and no detail, and logged by type and place: its message could quote
    what somebody posted.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_safely(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_safely)
        except ClientDisconnect:
            log.info("a client left before all of its body came")
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s, which should not happen:\n%s", type(error).__name__, frames)
            if not started:
                response = error_response(500, "this should not happen: see the server's log")
                await response(scope, receive, send_safely)
