"""Refuses a request body that is too long (413) or too slow (408) before it is held in memory."""

from __future__ import annotations

import time

import anyio
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracking_pipeline.web.errors import error_response

# For the whole body; one of the size allowed comes within it over any line that is alive.
BODY_SECONDS = 30.0
# The rest of the body stays unread, so the connection cannot serve another request.
_CLOSE = {"Connection": "close"}


class BodyLimit:
    """ASGI middleware: at most ``max_bytes`` of body, within ``seconds`` of the request's start.

    What a client says about the length is believed when it is too much; what it sends is counted in
    any case.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            await error_response(413, _too_long(self._max_bytes), _CLOSE)(scope, receive, send)
            return
        body = _Body(receive, self._max_bytes, self._seconds)
        await self._app(scope, body.receive, send)


class _Body:
    """One request's body on its way in."""

    def __init__(self, receive: Receive, max_bytes: int, seconds: float) -> None:
        self._receive = receive
        self._max_bytes = self._left = max_bytes
        self._deadline = time.monotonic() + seconds
        self._finished = False

    async def receive(self) -> Message:
        """The next part. Raises the HTTPException that the request ends with."""
        if self._finished:
            # What comes after the body is the client's leaving, which has all the time there is.
            return await self._receive()
        try:
            with anyio.fail_after(max(self._deadline - time.monotonic(), 0)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body did not come in time", _CLOSE) from None
        self._finished = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_long(self._max_bytes), _CLOSE)
        return message


def _too_long(max_bytes: int) -> str:
    return f"the body is longer than {max_bytes} bytes (MAX_BODY_BYTES)"
