"""A sandbox on a real socket, and a sender that knows nothing of this project's own delivery."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.server import Sandbox

Event = dict[str, Any]


def _event(event_id: str = "event-1", **changes: Any) -> Event:
    event = {
        "event_name": "Lead",
        "event_time": int(time.time()),
        "event_id": event_id,
        "action_source": "website",
        "event_source_url": "https://www.example.com/quote",
        "user_data": {
            "em": [sha256(b"emily@example.com").hexdigest()],
            "client_user_agent": "Mozilla/5.0",
        },
        **changes,
    }
    return {name: value for name, value in event.items() if value is not None}


class Sender:
    """Posts events to one sandbox and gives back the answer, or the error it met instead."""

    def __init__(self, client: httpx.Client, sandbox: Sandbox) -> None:
        self._client = client
        self._url = f"{sandbox.meta_url}/v26.0/1234567890/events"

    def __call__(self, *events: Any, timeout: float = 10, **fields: Any) -> httpx.Response:
        body = {"access_token": "token", "data": list(events), **fields}
        return self._client.post(self._url, json=body, timeout=timeout)

    def ids(self, *event_ids: str, timeout: float = 10) -> httpx.Response:
        """Post a good event for each id, as one batch."""
        return self(*(_event(event_id) for event_id in event_ids), timeout=timeout)

    def raw(self, **request: Any) -> httpx.Response:
        """Post whatever `httpx` can send."""
        return self._client.post(self._url, **request)


@pytest.fixture
def event() -> Callable[..., Event]:
    """Builds an event that Meta takes; a change to `None` leaves a field out."""
    return _event


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Waits, at most 10 seconds, for what the server does on its own time; says if it came."""

    def wait(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 10
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.005)
        return condition()

    return wait


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def sender(http: httpx.Client) -> Callable[[Sandbox], Sender]:
    """A sender for a sandbox that the test made itself."""
    return lambda sandbox: Sender(http, sandbox)


@pytest.fixture
def send(http: httpx.Client, sandbox: Sandbox) -> Sender:
    return Sender(http, sandbox)
