"""A TCP proxy that misbehaves on demand: between a worker and its database, or a worker and a sink.

The kernel of a test machine often has no `tc netem`, so what a network does to a connection is done
here: it is slow, it is cut on one side only, it goes silent, it is reset in the middle of a request
or of an answer. What is set counts from now on, for connections that are open as well.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset at once
_PART_BYTES = 65_536


@dataclass(eq=False)
class _Pair:
    """The two ends of one connection, and the bytes that went each way."""

    client: socket.socket
    server: socket.socket
    asked: int = 0
    answered: int = 0


@dataclass
class FaultProxy:
    """``url`` leads to the same place as ``target``, by way of the proxy. Listens for the time of
    the block.

    ``delay_seconds`` passes before each part of an answer. ``request_bytes`` and ``answer_bytes``
    are how much of them passes before the connection is reset; None: all. ``spoiled`` counts the
    connections that the proxy broke: each may have carried one answer that nobody got.
    """

    target: str
    delay_seconds: float = 0.0
    request_bytes: int | None = None
    answer_bytes: int | None = None
    spoiled: int = 0
    _pairs: list[_Pair] = field(default_factory=list)
    _speaking: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listening = socket.create_server(("127.0.0.1", 0))
        account = parts.netloc.rpartition("@")[0]
        address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.url = parts._replace(netloc=f"{account}@{address}" if account else address).geturl()
        self._speaking.set()

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._speaking.set()
        for each in (self._listening, *(end for pair in self._pairs for end in _ends(pair))):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def cut_clients(self) -> None:
        """Resets every client's connection and tells the server nothing: it goes on with what it
        was asked for, as it does when a network path breaks in between."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            self._reset(pair)

    def fall_silent(self) -> None:
        """From now on nothing passes, and nobody is told; new connections are taken, too."""
        self._speaking.clear()

    def speak_again(self) -> None:
        self._speaking.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                pair = _Pair(client, socket.create_connection(self._server))
                self._pairs.append(pair)
                for pass_on in (self._pass_requests, self._pass_answers):
                    threading.Thread(target=pass_on, args=(pair,), daemon=True).start()

    def _pass_requests(self, pair: _Pair) -> None:
        with suppress(OSError):
            while part := pair.client.recv(_PART_BYTES):
                self._speaking.wait()
                pair.asked += len(part)
                if self.request_bytes is not None and pair.asked > self.request_bytes:
                    self._reset(pair)
                    return
                pair.server.sendall(part)
        if pair in self._pairs:  # it left by itself
            with suppress(OSError):
                pair.server.shutdown(socket.SHUT_RDWR)

    def _pass_answers(self, pair: _Pair) -> None:
        with suppress(OSError):
            while part := pair.server.recv(_PART_BYTES):
                self._speaking.wait()
                time.sleep(self.delay_seconds)
                room = None if self.answer_bytes is None else self.answer_bytes - pair.answered
                pair.answered += len(part)
                if room is not None and len(part) > room:
                    pair.client.sendall(part[: max(room, 0)])
                    self._reset(pair)
                    return
                pair.client.sendall(part)
            pair.client.shutdown(socket.SHUT_WR)

    def _reset(self, pair: _Pair) -> None:
        self.spoiled += 1
        pair.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with suppress(OSError):
            pair.client.shutdown(socket.SHUT_RD)
        pair.client.close()


def _ends(pair: _Pair) -> tuple[socket.socket, socket.socket]:
    return pair.client, pair.server
