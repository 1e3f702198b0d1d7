"""A transaction pooler in front of a test's server: what Supabase's port 6543 and pgbouncer do.

Each transaction gets the server connection that has been idle for longest, so that two transactions
of one client never meet on one connection while there are others. Whatever a client leaves in its
session is then missing where the client needs it, and :meth:`TransactionPooler.left_behind` tells
what lies about.
"""

from __future__ import annotations

import os
import queue
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_PROTOCOL_3 = 3
# Each of them is answered by one ReadyForQuery: Query, Sync, FunctionCall.
_ASKS_FOR_READY = b"QSF"
_PARAMETERS = (
    "server_version",
    "server_encoding",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
)
# What `set transaction` says ends with its transaction, though its source stays on record.
_LEFT_BEHIND = """
select 'setting ' || name from pg_settings
 where source = 'session' and name not like 'transaction%'
union all select 'prepared statement' from pg_prepared_statements
union all select 'channel ' || channel from pg_listening_channels() as channel
union all select 'advisory lock' from pg_locks
          where locktype = 'advisory' and pid = pg_backend_pid()
union all select 'temporary table ' || relname from pg_class
          where relnamespace = pg_my_temp_schema() and relkind = 'r'
union all select 'cursor' from pg_cursors where is_holdable
"""


class _Server:
    """One server connection. libpq has made it and knows how to authenticate; while a client has
    it, the socket is the client's."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True, prepare_threshold=None)
        self.socket = socket.socket(fileno=os.dup(self.connection.fileno()))
        self.socket.setblocking(True)
        self.transactions = 0

    def close(self) -> None:
        self.socket.close()
        self.connection.close()


@dataclass(frozen=True)
class TransactionPooler:
    """A running pooler for one role of one database, at ``url``."""

    url: str
    _servers: list[_Server]
    _idle: queue.Queue[_Server]

    def connections_used(self) -> int:
        """How many server connections have served a transaction."""
        return sum(server.transactions > 0 for server in self._servers)

    def left_behind(self) -> list[str]:
        """What clients have left in the sessions of the server connections. To be asked when no
        client is in a transaction."""
        # All at once: one that is still on its way back must not be missed for one asked twice.
        servers = [self._idle.get(timeout=30) for _ in self._servers]
        found = []
        for server in servers:
            found += [row[0] for row in server.connection.execute(_LEFT_BEHIND).fetchall()]
            self._idle.put(server)
        return sorted(found)


@contextmanager
def transaction_pooler(url: str, *, size: int = 4) -> Iterator[TransactionPooler]:
    """A pooler of so many server connections in front of ``url``."""
    servers = [_Server(url) for _ in range(size)]
    idle: queue.Queue[_Server] = queue.Queue()
    for server in servers:
        idle.put(server)

    class Client(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # An answer is many small messages; without this each would wait for the one before.
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(ConnectionError):
                _serve(self.request, idle)

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Listener(("127.0.0.1", 0), Client) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        parts = urlsplit(url)
        credentials, _, _ = parts.netloc.rpartition("@")
        netloc = f"{credentials}@127.0.0.1:{listener.server_address[1]}"
        try:
            yield TransactionPooler(parts._replace(netloc=netloc).geturl(), servers, idle)
        finally:
            listener.shutdown()
            thread.join()
            for server in servers:
                server.close()


def _serve(client: socket.socket, idle: queue.Queue[_Server]) -> None:
    """One client, from its first byte to its last."""
    if not _welcome(client, idle):
        return
    while (message := _read(client)) is not None and message[:1] != b"X":
        server = idle.get()
        try:
            server.transactions += 1
            _transaction(client, server, message)
        finally:
            idle.put(server)


def _welcome(client: socket.socket, idle: queue.Queue[_Server]) -> bool:
    """The start of a session. False: the client was refused, or only wanted something cancelled."""
    while True:
        (length,) = struct.unpack("!i", _exactly(client, 4))
        (code,) = struct.unpack("!i", _exactly(client, 4))
        rest = _exactly(client, length - 8)
        if code not in (_SSL_REQUEST, _GSS_REQUEST):
            break
        client.sendall(b"N")
    if code >> 16 != _PROTOCOL_3:
        return False
    asked = rest.split(b"\0")
    if b"options" in asked[::2]:
        # A session's settings cannot be asked for; pgbouncer says the same.
        refusal = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
        client.sendall(_message(b"E", refusal))
        return False
    server = idle.get()
    told = {name: server.connection.info.parameter_status(name) for name in _PARAMETERS}
    idle.put(server)
    answers = [_message(b"R", struct.pack("!i", 0))]
    answers += [_message(b"S", f"{name}\0{value}\0".encode()) for name, value in told.items()]
    client.sendall(b"".join([*answers, _message(b"Z", b"I")]))
    return True


def _transaction(client: socket.socket, server: _Server, message: bytes | None) -> None:
    """Passes messages both ways until the server is idle and owes no answer."""
    owed = 0
    while True:
        if message is not None:
            owed += message[:1] in _ASKS_FOR_READY
            server.socket.sendall(message)
            message = None
        readable, _, _ = select.select([client, server.socket], [], [])
        if server.socket in readable:
            answer = _read(server.socket)
            if answer is None:
                raise ConnectionError("the server has gone")
            client.sendall(answer)
            owed -= answer[:1] == b"Z"
            if owed == 0 and answer == _message(b"Z", b"I"):
                return
        if client in readable:
            message = _read(client)
            if message is None or message[:1] == b"X":
                _give_up(server, owed)
                raise ConnectionError("the client has gone")


def _give_up(server: _Server, owed: int) -> None:
    """Ends the transaction that a client has left open."""
    server.socket.sendall(_message(b"S", b"") + _message(b"Q", b"rollback\0"))
    owed += 2
    while owed:
        answer = _read(server.socket)
        if answer is None:
            raise ConnectionError("the server has gone")
        owed -= answer[:1] == b"Z"


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _read(source: socket.socket) -> bytes | None:
    """The next message; None at the end."""
    kind = source.recv(1)
    if not kind:
        return None
    length = _exactly(source, 4)
    return kind + length + _exactly(source, struct.unpack("!i", length)[0] - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = source.recv(size)
        if not part:
            raise ConnectionError("the connection ended within a message")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
