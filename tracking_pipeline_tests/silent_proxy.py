"""A TCP proxy that can go silent: connections stay open and nothing passes any more, as behind a
pooler or a firewall that has forgotten them. Nobody is told, and the kernel finds nothing out."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class SilentProxy:
    """``url`` leads to the server's database through the proxy."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 5432)
        self._listening = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        account = parts.netloc.rpartition("@")[0]
        self.url = parts._replace(netloc=f"{account}@{address}").geturl()
        self._sockets: list[socket.socket] = []
        self._speaking = threading.Event()
        self._speaking.set()
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        """From now on nothing passes; new connections are taken and not answered either."""
        self._speaking.clear()

    def close(self) -> None:
        self._speaking.set()
        for each in (self._listening, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.accepted += 1
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while read := one.recv(65536):
                self._speaking.wait()
                other.sendall(read)
            other.shutdown(socket.SHUT_WR)


@contextmanager
def silent_proxy(url: str) -> Iterator[SilentProxy]:
    """A proxy in front of the database at ``url``, for the time of the block."""
    proxy = SilentProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
