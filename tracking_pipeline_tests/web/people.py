"""Users of a site on Supabase, and the tokens that they and others bring along."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg
from cryptography.hazmat.primitives.asymmetric import ec

SECRET = "a-shared-secret-of-the-project-for-tests"
ES256_KEY = ec.generate_private_key(ec.SECP256R1())


def claims(user_id: UUID | str, **others: Any) -> dict[str, Any]:
    """What a user's access token says; a claim that is None is left out."""
    said = {
        "sub": str(user_id),
        "aud": "authenticated",
        "role": "authenticated",
        "exp": time.time() + 3600,
        **others,
    }
    return {name: value for name, value in said.items() if value is not None}


def token(user_id: UUID | str, *, secret: str = SECRET, **others: Any) -> str:
    """A token signed with the project's shared secret."""
    return jwt.encode(claims(user_id, **others), secret, algorithm="HS256")


def es256_token(
    user_id: UUID | str, key_id: str, key: ec.EllipticCurvePrivateKey = ES256_KEY, **others: Any
) -> str:
    """A token signed with a private key."""
    return jwt.encode(claims(user_id, **others), key, algorithm="ES256", headers={"kid": key_id})


def unsigned_token(user_id: UUID | str, algorithm: str, key_id: str = "") -> str:
    """A token whose header names an algorithm, without a signature."""
    return _signed_part(user_id, algorithm, key_id) + "."


def forged_token(user_id: UUID | str, key_id: str, secret: bytes) -> str:
    """A token signed with any bytes as if they were a shared secret; libraries refuse some."""
    said = _signed_part(user_id, "HS256", key_id)
    return f"{said}.{_base64(hmac.digest(secret, said.encode(), 'sha256'))}"


def _signed_part(user_id: UUID | str, algorithm: str, key_id: str) -> str:
    header = {"alg": algorithm, "typ": "JWT", "kid": key_id}
    return ".".join(_base64(json.dumps(part).encode()) for part in (header, claims(user_id)))


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def add_user(connection: psycopg.Connection, role: str) -> UUID:
    """A user with this role, in the site's own table."""
    connection.execute(
        "create table if not exists user_roles"
        " (user_id uuid not null, role text not null, unique (user_id, role))"
    )
    user_id = uuid4()
    connection.execute("insert into user_roles values (%s, %s)", (user_id, role))
    return user_id


class KeyServer:
    """An identity provider's JWKS address on a socket of 127.0.0.1."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers = 0
        self.status = 200
        self.keys: list[dict[str, Any]] = []

    def offer(self, key_id: str, key: ec.EllipticCurvePrivateKey = ES256_KEY) -> None:
        """Adds the public half of a key."""
        public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.keys.append({**public, "kid": key_id, "alg": "ES256", "use": "sig"})


@contextmanager
def key_server() -> Iterator[KeyServer]:
    """A running provider without any key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            offered.answers += 1
            body = json.dumps({"keys": offered.keys}).encode()
            self.send_response(offered.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        offered = KeyServer(f"http://127.0.0.1:{server.server_port}/jwks.json")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield offered
        finally:
            server.shutdown()
            thread.join()
