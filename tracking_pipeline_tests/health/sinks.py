"""Services that alerts are sent to, on real sockets: a webhook and a mail server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MailHandler

SECRET = "s3cr3tT0kenOfTheWebhook"


class Webhook:
    """Receives Apprise's ``json://`` messages. ``statuses`` are the next answers, then 200.

    While ``hold`` is set, a request gets no answer until it is released. ``on_request`` is called
    before the answer.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.received: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.hold: threading.Event | None = None
        self.on_request: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        """With a secret in its path, as a chat service's webhook has it."""
        return f"json://127.0.0.1:{self.port}/{SECRET}?rto=30"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.received]


@contextmanager
def webhook() -> Iterator[Webhook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            sink.received.append(json.loads(body))
            sink.on_request()
            if sink.hold is not None:
                sink.hold.wait()
            self.send_response(sink.statuses.pop(0) if sink.statuses else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink = Webhook(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            if sink.hold is not None:
                sink.hold.set()
            server.shutdown()
            thread.join()


class Mailbox(MailHandler):
    """Keeps each mail's subject and body, as it was sent: HTML where the URL does not say text."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return (
            f"mailto://127.0.0.1:{self.port}?from=pipeline@example.com&to=ops@example.com"
            "&mode=insecure"
        )

    def handle_message(self, message: Any) -> None:
        mail = message_from_bytes(bytes(message), policy=policy.default)
        body = mail.get_body(("html", "plain"))
        text = body.get_content() if body is not None else ""
        self.received.append((str(mail["subject"]), text))


class OnAnyFreePort(Controller):
    """The controller, able to listen on port 0: it asks itself for the port before it connects."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    kept = Mailbox()
    controller = OnAnyFreePort(kept, hostname="127.0.0.1", port=0)
    controller.start()
    try:
        kept.port = controller.port
        yield kept
    finally:
        controller.stop()
