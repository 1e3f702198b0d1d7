"""The forms in which clients ask: HEAD for GET, a slash at the end, a compressed body.

Monitors ask by HEAD (RFC 9110 9.3.2), some clients and proxies end every path with a slash, and
what servers send is often compressed (RFC 9110 8.4). Behind this, none of it is to be seen.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
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
