"""By what right we call Google: a fixed access token, or a credentials file that yields tokens.

A file is a service account's key or an authorized user's refresh token, read by ``google-auth``
(the extra ``google``), which is imported only when a file is configured. A token is renewed in a
thread, by one at a time, when it is about to end or when Google has refused it.

No error here quotes what Google or the file said: both hold secrets.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.to_thread

from tracking_pipeline.settings import Settings

# https://developers.google.com/data-manager/api/devguides/quickstart/set-up-access
SCOPE = "https://www.googleapis.com/auth/datamanager"
# Less than a request may take, so that a renewal and the request fit into a lease.
_RENEWAL_TIMEOUT_SECONDS = 8.0


class CredentialsError(Exception):
    """There is no token to call with. One line for an operator, without secrets.

    ``passing``: Google's token service could not be reached, and may be later.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class Credentials(Protocol):
    """Where the headers come from that prove who calls."""

    async def headers(self, refused: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The headers of a request. ``refused`` are those that Google just answered with 401: they
        are renewed if that can be. Raises :class:`CredentialsError`."""
        ...


class AccessToken:
    """A token from the settings. It lasts an hour and cannot be renewed: for trying things out."""

    def __init__(self, token: str) -> None:
        self.token = token
        self._headers = bearer(token)

    async def headers(self, refused: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The same headers, whatever became of them."""
        del refused  # there is no other token
        return self._headers


class CredentialsFile:
    """A JSON file of type ``service_account`` or ``authorized_user``."""

    def __init__(self, path: Path) -> None:
        """The file is read with the first request."""
        self._path = path
        self._credentials: Any = None
        self._headers: Mapping[str, str] | None = None
        self._lock = anyio.Lock()

    async def headers(self, refused: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """The headers with a token that is not about to end."""
        async with self._lock:
            current = self._headers
            if current is None or current == refused or not self._credentials.valid:
                current = await anyio.to_thread.run_sync(self._renew)
                self._headers = current
            return current

    def _renew(self) -> Mapping[str, str]:
        """Asks Google's token service for a new token. Blocks."""
        transport, errors = _imported("google.auth.transport.requests", "google.auth.exceptions")
        request = functools.partial(transport.Request(), timeout=_RENEWAL_TIMEOUT_SECONDS)
        if self._credentials is None:
            self._credentials = self._load()
        try:
            self._credentials.refresh(request)
        except errors.TransportError:
            raise CredentialsError(
                "Google's token service cannot be reached", passing=True
            ) from None
        except errors.GoogleAuthError as error:
            passing = bool(getattr(error, "retryable", False))
            raise CredentialsError(
                "Google gives no token for the file in GOOGLE_APPLICATION_CREDENTIALS: "
                "it was revoked, or is not valid any more",
                passing=passing,
            ) from None
        quota_project = getattr(self._credentials, "quota_project_id", None)
        return bearer(self._credentials.token) | (
            {"x-goog-user-project": quota_project} if quota_project else {}
        )

    def _load(self) -> Any:
        try:
            content = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            raise CredentialsError(
                "the file in GOOGLE_APPLICATION_CREDENTIALS is not there"
            ) from None
        except (OSError, ValueError):
            raise CredentialsError(
                "the file in GOOGLE_APPLICATION_CREDENTIALS cannot be read as JSON"
            ) from None
        kind = content.get("type") if isinstance(content, dict) else None
        service_account, user = _imported(
            "google.oauth2.service_account", "google.oauth2.credentials"
        )
        try:
            if kind == "service_account":
                return service_account.Credentials.from_service_account_info(
                    content, scopes=[SCOPE]
                )
            if kind == "authorized_user":
                return user.Credentials.from_authorized_user_info(content, scopes=[SCOPE])
        except (ValueError, KeyError, TypeError):
            raise CredentialsError(
                f"the file in GOOGLE_APPLICATION_CREDENTIALS is no complete {kind}"
            ) from None
        raise CredentialsError(
            "the file in GOOGLE_APPLICATION_CREDENTIALS is neither a service_account nor an "
            "authorized_user"
        )


def bearer(token: str) -> dict[str, str]:
    """The header that shows the token."""
    return {"authorization": f"Bearer {token}"}


def _imported(*names: str) -> list[Any]:
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError:
        raise CredentialsError(
            "GOOGLE_APPLICATION_CREDENTIALS needs google-auth: install tracking-pipeline[google]"
        ) from None


def credentials_of(settings: Settings) -> Credentials:
    """What the settings name: an access token before a file of credentials."""
    if settings.google_access_token is not None:
        return AccessToken(settings.google_access_token.get_secret_value())
    assert settings.google_application_credentials is not None  # noqa: S101
    return CredentialsFile(settings.google_application_credentials)
