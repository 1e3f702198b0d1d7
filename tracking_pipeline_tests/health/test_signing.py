"""What a webhook of the operator's own gets is signed, and can be checked by the published rule."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from tracking_pipeline.health.notifications.channels import Message, read_channels, send
from tracking_pipeline.health.notifications.signing import signature_headers

KEY = "a-key-of-some-length"
MESSAGE = Message("Critical: näme", "Line one.\nLine „two“.", "failure")


def test_the_signature_is_that_of_the_published_example() -> None:
    """The test vector of Standard Webhooks' own libraries."""
    headers = signature_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        '{"test": 2432232314}',
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


Received = list[tuple[Mapping[str, str], bytes]]


@pytest.fixture
def receiver() -> Iterator[tuple[str, Received]]:
    received: Received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"json://127.0.0.1:{server.server_port}/alerts", received
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("query", ["", "?:team=growth&:title=&:message=text&+x-own=1"])
def test_a_receiver_can_check_what_it_got(receiver: tuple[str, Received], query: str) -> None:
    address, received = receiver
    (channel,) = read_channels(SecretStr(address + query), SecretStr(KEY))
    send(channel, MESSAGE)
    send(channel, MESSAGE)
    for headers, body in received:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(KEY.encode(), signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert len({headers["webhook-id"] for headers, _ in received}) == 1


def test_without_a_key_nothing_is_signed(receiver: tuple[str, Received]) -> None:
    address, received = receiver
    (channel,) = read_channels(SecretStr(address))
    send(channel, MESSAGE)
    assert not any(name.startswith("webhook-") for name in received[0][0])
