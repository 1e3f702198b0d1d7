"""Which user of the site a Supabase access token names, and whether that is true.

https://supabase.com/docs/guides/auth/jwts
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import jwt

from tracking_pipeline.web.security.jwks import KeySet

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
        :class:`~tracking_pipeline.web.security.jwks.KeysUnavailableError` where that cannot be
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
