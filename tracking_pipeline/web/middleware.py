"""What stands between the socket and the endpoints, the outermost last: the forms of HTTP, the
limits of a body, safe headers.

The forms in which clients ask are HEAD for GET, a slash at the end, a compressed body. Monitors ask
by HEAD (RFC 9110 9.3.2), some clients and proxies end every path with a slash, and what servers
send is often compressed (RFC 9110 8.4). Behind this, none of it is to be seen.
"""

from __future__ import annotations

import logging
import traceback
import zlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import anyio
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tracking_pipeline.web.errors import error_response

_ENCODINGS = ("gzip", "x-gzip", "deflate")
# What is unpacked at once, so that whoever counts the body can end it in time.
_PART_BYTES = 64 * 1024


class HttpForms:
    """ASGI middleware. It stands outside of what limits the body, which so counts what a body is
    unpacked to. An encoding that is not known is answered with 415."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = dict(scope)
        if len(scope["path"]) > 1 and scope["path"].endswith("/"):
            # Answered here, never redirected: a redirect would name the scheme behind the proxy.
            scope["path"] = scope["path"].rstrip("/") or "/"
            scope["raw_path"] = scope["path"].encode()
        if scope["method"] == "HEAD":
            scope["method"], send = "GET", _without_body(send)
        encoding = Headers(scope=scope).get("content-encoding", "identity").strip().lower()
        if encoding in _ENCODINGS:
            headers = MutableHeaders(scope=scope)
            del headers["content-encoding"], headers["content-length"]
            scope["headers"] = headers.raw
            receive = _Unpacked(receive, encoding).receive
        elif encoding not in ("identity", ""):
            accepted = ", ".join(_ENCODINGS)
            refusal = error_response(
                415, f"the body's encoding is not one of {accepted}", {"Accept-Encoding": accepted}
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


class _Unpacked:
    """One request's body, unpacked part by part as it comes."""

    def __init__(self, receive: Receive, encoding: str) -> None:
        self._receive = receive
        self._encoding = encoding
        # 32: gzip or zlib, whichever it is.
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begun = False
        self._parts: Iterator[Message] = iter(())

    async def receive(self) -> Message:
        """The next part. Raises the HTTPException that the request ends with."""
        while (part := next(self._parts, None)) is None:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._parts = self._unpack(message)
        return part

    def _unpack(self, message: Message) -> Iterator[Message]:
        packed, more = message.get("body", b""), message.get("more_body", False)
        try:
            while packed:
                unpacked = self._decompress(packed)
                packed = self._unpacker.unconsumed_tail
                if unpacked:
                    yield {"type": "http.request", "body": unpacked, "more_body": True}
            if not more and self._begun and not self._unpacker.eof:
                raise zlib.error("incomplete")
        except zlib.error:
            detail = f"the body is not {self._encoding}, as its Content-Encoding says"
            raise HTTPException(400, detail, {"Connection": "close"}) from None
        if not more:
            yield {"type": "http.request", "body": b"", "more_body": False}

    def _decompress(self, packed: bytes) -> bytes:
        begun, self._begun = self._begun, True
        try:
            return self._unpacker.decompress(packed, _PART_BYTES)
        except zlib.error:
            if begun or self._encoding != "deflate":
                raise
            # Many clients send deflate without the zlib header that RFC 9110 8.4.1.2 asks for.
            self._unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._unpacker.decompress(packed, _PART_BYTES)


# For the whole body; one of the size allowed comes within it over any line that is alive.
BODY_SECONDS = 30.0
# The rest of the body stays unread, so the connection cannot serve another request.
_CLOSE = {"Connection": "close"}


class BodyLimit:
    """ASGI middleware: at most ``max_bytes`` of body (else 413), within ``seconds`` of the
    request's start (else 408), before it is held in memory.

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
        self._deadline = anyio.current_time() + seconds
        self._finished = False

    async def receive(self) -> Message:
        """The next part. Raises the HTTPException that the request ends with."""
        if self._finished:
            # What comes after the body is the client's leaving, which has all the time there is.
            return await self._receive()
        with anyio.CancelScope(deadline=self._deadline) as waiting:
            message = await self._receive()
        if waiting.cancelled_caught:
            raise HTTPException(408, "the body did not come in time", _CLOSE)
        self._finished = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_long(self._max_bytes), _CLOSE)
        return message


def _too_long(max_bytes: int) -> str:
    return f"the body is longer than {max_bytes} bytes (MAX_BODY_BYTES)"


# As ASGI has them: in lower case.
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)

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
                own = message.get("headers", ())
                names = {name for name, _ in own}
                usual = [each for each in _HEADERS if each[0] not in names]
                message = {**message, "headers": [*own, *usual]}
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


_LABEL = b"content-type"


class JsonRoute(APIRoute):
    """Hands a posted body to the endpoint's model as JSON, whatever it is labelled: a browser's
    ``fetch`` with a text as its body says ``text/plain``, ``curl -d`` says that it is a form.

    Such a request needs no preflight, so any page can send it. That it does not act for an admin is
    not the label's doing: a session's cookie counts from our own page alone (``Access.admin``), and
    a bearer token is never sent by itself.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_as_json(request: Request) -> Response:
            headers = [header for header in request.scope["headers"] if header[0] != _LABEL]
            headers.append((_LABEL, b"application/json"))
            return await handle(Request({**request.scope, "headers": headers}, request.receive))

        return handle_as_json
