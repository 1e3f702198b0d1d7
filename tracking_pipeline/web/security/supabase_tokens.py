"""Which user of the site a Supabase access token names, and whether that is true: by a shared
secret or by the public keys of the identity provider, fetched from its JWKS address.

https://supabase.com/docs/guides/auth/jwts, https://supabase.com/docs/guides/auth/signing-keys
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import jwt

log = logging.getLogger(__name__)

# Supabase's own edge keeps the document for ten minutes, so a key is never asked for much later.
KEEP_SECONDS = 600.0
# A token may name any key it likes; asking about unknown ones is bounded by this.
SHORTEST_PAUSE_SECONDS = 30.0
TIMEOUT_SECONDS = 5.0
_MOST_BYTES = 256 * 1024
# Symmetric keys have no business in a public document.
_KINDS = ("RSA", "EC", "OKP")


class KeysUnavailableError(Exception):
    """The keys cannot be had, so nobody's token can be checked. One line."""


class KeySet:
    """The keys by their id. One fetch at a time; what is known stays known while a fetch fails
    or finds none: a document without keys is a provider's mishap, not its keys' end."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self._url = url
        self._client = client
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._lock = asyncio.Lock()

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key of that id; None where the provider has none.

        Raises :class:`KeysUnavailableError` while no keys are known at all.
        """
        async with self._lock:
            if self._is_stale() or key_id not in self._keys:
                await self._refresh()
            if self._fetched_at is None:
                raise KeysUnavailableError("the keys of SUPABASE_JWKS_URL cannot be fetched")
            return self._keys.get(key_id)

    def _is_stale(self) -> bool:
        return self._fetched_at is None or time.monotonic() - self._fetched_at > KEEP_SECONDS

    async def _refresh(self) -> None:
        now = time.monotonic()
        if self._asked_at is not None and now - self._asked_at < SHORTEST_PAUSE_SECONDS:
            return
        self._asked_at = now
        try:
            keys = _keys_of(await self._fetch())
            if keys or not self._keys:
                self._keys = keys
                self._fetched_at = now
        except (httpx.HTTPError, ValueError) as error:
            log.warning("SUPABASE_JWKS_URL cannot be read (%s)", type(error).__name__)

    async def _fetch(self) -> Any:
        async with self._client.stream("GET", self._url, timeout=TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            content = b""
            async for part in response.aiter_bytes():
                content += part
                if len(content) > _MOST_BYTES:
                    raise ValueError("too long")
        return httpx.Response(200, content=content).json()


def _keys_of(document: Any) -> dict[str, jwt.PyJWK]:
    """The usable keys of a JWKS document (RFC 7517). ValueError where it is none."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no JWKS document")
    keys = {}
    for each in listed:
        if not isinstance(each, dict) or each.get("kty") not in _KINDS:
            continue
        if not isinstance(each.get("kid"), str) or each.get("use", "sig") != "sig":
            continue
        try:
            keys[each["kid"]] = jwt.PyJWK.from_dict(each)
        except jwt.PyJWTError:
            log.warning("SUPABASE_JWKS_URL has a key that cannot be used")
    if not keys:
        # As from a project whose tokens are still signed with its shared secret.
        log.warning("SUPABASE_JWKS_URL lists no key that can be used")
    return keys


AUDIENCE = "authenticated"
_SHARED = ("HS256",)
_PUBLIC = ("RS256", "ES256", "EdDSA")
# Clocks of two machines are never quite the same.
_LEEWAY_SECONDS = 10


class InvalidTokenError(Exception):
    """The token proves nothing. Why is nobody's business."""


@dataclass(frozen=True, slots=True)
class SiteUser:
    """A user who is logged in at the site. ``expires_at``: Unix seconds."""

    user_id: UUID
    expires_at: float


class SupabaseTokens:
    """Checks tokens against the project's shared secret, its public keys, or both.

    The algorithm decides which of the two is asked, and each takes its own algorithms only: a token
    that was signed with a public key as if it were a secret is refused.
    """

    def __init__(self, secret: str | None, keys: KeySet | None) -> None:
        self._secret = secret
        self._keys = keys

    async def user_of(self, token: str) -> SiteUser:
        """The user a token names. Raises :class:`InvalidTokenError`, and
        :class:`KeysUnavailableError` where that cannot be
        told now."""
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = await self._key_for(header.get("alg"), header.get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud"]},
            )
            return SiteUser(UUID(claims["sub"]), float(claims["exp"]))
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise InvalidTokenError from None

    async def _key_for(self, algorithm: object, key_id: object) -> tuple[str | jwt.PyJWK, str]:
        if algorithm in _SHARED and self._secret is not None:
            return self._secret, str(algorithm)
        if algorithm in _PUBLIC and self._keys is not None and isinstance(key_id, str):
            key = await self._keys.key(key_id)
            if key is not None and key.algorithm_name == algorithm:
                return key, key.algorithm_name
        raise InvalidTokenError
