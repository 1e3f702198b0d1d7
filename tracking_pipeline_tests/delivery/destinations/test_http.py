"""One request on a real socket: what is read of its answer, and by which way it goes."""

from __future__ import annotations

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from functools import partial

import pytest

from tracking_pipeline.delivery.destinations.google import answers as google_answers
from tracking_pipeline.delivery.destinations.gtm import answers as gtm_answers
from tracking_pipeline.delivery.destinations.meta import answers as meta_answers
from tracking_pipeline.delivery.engine.outcomes import Paused, Uniform, Verdict
from tracking_pipeline.http_client import MOST_ANSWER_BYTES, Answer, http_client, post

HOST = "127.0.0.1"


class Server:
    """Answers each request with the same bytes and remembers what it was asked."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.url = ""
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self._answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, HOST, 0)
    async with listener:
        server.url = f"http://{HOST}:{listener.sockets[0].getsockname()[1]}"
        yield server


def _answer(body: bytes, *headers: str) -> bytes:
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


def _post(answer: bytes, url_of: Callable[[Server], str] = lambda server: server.url) -> Answer:
    async def run() -> Answer:
        async with serving(answer) as server, http_client(max_connections=1) as client:
            return await post(client, url_of(server), content=b"{}", headers={})

    return asyncio.run(run())


def test_a_compressed_answer_is_read() -> None:
    answer = _post(_answer(gzip.compress(b'{"ok": true}'), "Content-Encoding: gzip"))

    assert (answer.status, answer.json()) == (200, {"ok": True})


def test_an_answer_that_unpacks_to_more_than_is_read_is_oversized() -> None:
    bomb = gzip.compress(b" " * (MOST_ANSWER_BYTES + 1))

    answer = _post(_answer(bomb, "Content-Encoding: gzip"))

    assert (answer.status, answer.fault, answer.body) == (200, "oversized", b"")


def test_an_answer_that_does_not_unpack_is_a_fault() -> None:
    assert _post(_answer(b"plain", "Content-Encoding: gzip")).fault == "connection"


def test_an_address_where_nobody_listens_is_a_fault() -> None:
    assert _post(_answer(b""), lambda _: "http://127.0.0.1:1/").fault == "connection"


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/", "nonsense", "http://[::1"])
def test_an_address_that_no_request_can_have_is_a_fault_of_its_own(url: str) -> None:
    assert _post(_answer(b""), lambda _: url).fault == "unsendable"


@pytest.mark.parametrize("value", ["token\n", "tok\ren", "tok\0en", "tok\u2019en", "tok\ud800en"])
def test_a_header_that_no_request_can_have_never_raises(value: str) -> None:
    async def run() -> Answer:
        async with serving(_answer(b"")) as server, http_client(max_connections=1) as client:
            return await post(client, server.url, content=b"", headers={"authorization": value})

    answer = asyncio.run(run())
    assert answer.fault == "unsendable" or answer.status == 200  # aiohttp sends UTF-8


@pytest.mark.parametrize(
    "classify",
    [
        meta_answers.classify,
        partial(google_answers.classify, events=3),
        partial(gtm_answers.classify, protocol="data_client"),
    ],
    ids=["meta", "google", "gtm"],
)
def test_a_request_that_cannot_be_made_pauses_and_costs_no_event(
    classify: Callable[[Answer, datetime], Verdict],
) -> None:
    verdict = classify(Answer(fault="unsendable"), datetime.now(timezone.utc))
    assert isinstance(verdict, Uniform)
    assert isinstance(verdict.outcome, Paused)
    assert verdict.outcome.certain


# What shall replace it goes with tunnels only: aiohttp 3 drops it on the way to a plain address.
@pytest.mark.filterwarnings("ignore:.*(BasicAuth|proxy_auth).*deprecated:DeprecationWarning")
def test_the_environments_proxy_is_used_with_its_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> tuple[Answer, str]:
        async with serving(_answer(b"{}")) as proxy:
            address = proxy.url.replace("http://", "http://worker:pass@")
            monkeypatch.setenv("http_proxy", address)
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            async with http_client(max_connections=1) as client:
                url = "http://container.example/data"
                answer = await post(client, url, content=b"{}", headers={})
            return answer, proxy.heads[0]

    answer, head = asyncio.run(run())

    assert answer.status == 200
    assert head.startswith("POST http://container.example/data ")
    credentials = base64.b64encode(b"worker:pass").decode()
    assert f"proxy-authorization: Basic {credentials}".lower() in head.lower()
