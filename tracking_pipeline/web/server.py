"""``tracking-pipeline serve``: the application on a socket.

Without ``ADMIN_API_TOKEN`` it listens on this machine alone, under a token that it makes up and
prints: nobody opens an API to the network by accident, nor under a token that can be guessed.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from tracking_pipeline.settings import Settings, SettingsError
from tracking_pipeline.web.app import create_app
from tracking_pipeline.web.run_desk import CLOSING_SECONDS, RunDesk
from tracking_pipeline.web.security.access import generated_token
from tracking_pipeline.wiring.installation import Installation

# Connections that wait to be taken on while a burst of events comes in.
BACKLOG = 2048
# A shorter one could be guessed over the network.
SHORTEST_OPEN_TOKEN = 16
# Requests under way may end; runs get their own time after that.
_GRACE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ServingToken:
    """The admin token of a server. ``is_generated``: nobody knows it yet."""

    token: str
    is_generated: bool


def serving_token(settings: Settings, host: str) -> ServingToken:
    """The token to serve under on ``host``. Raises :class:`SettingsError` where others than this
    machine would reach it and none, or a short one, is configured."""
    configured = settings.admin_api_token
    token = configured.get_secret_value() if configured is not None else ""
    if not is_loopback(host) and len(token) < SHORTEST_OPEN_TOKEN:
        raise SettingsError(
            f"--host {host} opens the API to the network: set ADMIN_API_TOKEN to"
            f" {SHORTEST_OPEN_TOKEN} characters or more first, or leave --host out"
        )
    return ServingToken(token, False) if token else ServingToken(generated_token(), True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a socket on that address. A name other than ``localhost``
    may mean anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def serve(
    installation: Installation, runs: RunDesk, *, admin_token: str, listener: socket.socket
) -> bool:
    """Serves until it is interrupted. False: it could not start, and said why."""
    server = make_server(create_app(installation, runs, admin_token=admin_token))
    server.run(sockets=[listener])
    return server.started


def make_server(app: FastAPI) -> uvicorn.Server:
    """The server of an application, with all that is said to a client and to the log decided."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            # Its lines would hold whole IP addresses, and of a query what is in it.
            access_log=False,
            log_level="warning",
            # Whose word about the client is taken is for TRUSTED_PROXIES to say.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS + int(CLOSING_SECONDS),
        )
    )
