"""Who may do what an admin does: the bearer of the admin token, an admin of the site, or a browser
in which one of them has logged in.

    Authorization: Bearer <ADMIN_API_TOKEN>
    Authorization: Bearer <access token of a Supabase user who has the role admin in user_roles>
    Cookie: tracking_session=...    (web/login.py); a change must come from our own page

401 says that nobody was recognised, 403 that somebody was and may not (RFC 9110, RFC 6750).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Request

from tracking_pipeline.store.admins import RolesUnreadableError, is_admin
from tracking_pipeline.store.database import AsyncPool
from tracking_pipeline.web.errors import ApiError, unavailable
from tracking_pipeline.web.security.supabase_tokens import (
    InvalidTokenError,
    KeysUnavailableError,
    SupabaseTokens,
)

REALM = "tracking_pipeline"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_USER = "user "

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Principal:
    """An admin. ``actor`` is how the audit names them: ``token`` with a fingerprint, or ``user``
    with their id. ``expires_at``: until when their proof holds, in Unix seconds."""

    actor: str
    expires_at: float


class Access:
    """Recognises admins. ``users`` None: only the token counts."""

    def __init__(self, admin_token: str, users: SupabaseTokens | None, pool: AsyncPool) -> None:
        self._token = _digest(admin_token)
        self._token_actor = f"token {self._token.hex()[:12]}"
        self._users = users
        self._pool = pool
        self._sessions = Sessions(admin_token)

    async def admin(self, request: Request) -> Principal:
        """The admin who sends this request. Raises :class:`ApiError`: 401, 403, or 503 where that
        cannot be told now."""
        bearer = _bearer(request)
        if bearer is not None:
            return await self.admin_of(bearer)
        actor = self._sessions.actor_of(request.cookies.get(COOKIE, ""), time.time())
        if actor is None:
            raise _unauthorized()
        if request.method not in _SAFE_METHODS and not is_own_page(request):
            raise ApiError(403, "this request comes from another site's page")
        # A user may have lost the role since.
        if actor != self._token_actor:
            await self._require_role(actor)
        return Principal(actor, time.time() + SESSION_SECONDS)

    async def admin_of(self, token: str) -> Principal:
        """The admin whom a token proves. Raises as :meth:`admin` does."""
        if hmac.compare_digest(_digest(token), self._token):
            return Principal(self._token_actor, time.time() + SESSION_SECONDS)
        if self._users is None:
            raise _unauthorized(invalid=True)
        try:
            user = await self._users.user_of(token)
        except InvalidTokenError:
            raise _unauthorized(invalid=True) from None
        except KeysUnavailableError as error:
            log.error("%s", error)
            raise unavailable("whose token this is cannot be told now") from None
        actor = f"{_USER}{user.user_id}"
        await self._require_role(actor)
        return Principal(actor, user.expires_at)

    def session_of(self, principal: Principal) -> tuple[str, int]:
        """The cookie for a browser in which the admin logged in, and its life in seconds."""
        seconds = int(min(principal.expires_at - time.time(), SESSION_SECONDS))
        return self._sessions.issue(principal.actor, time.time() + seconds), seconds

    async def _require_role(self, actor: str) -> None:
        """403 unless the user that ``actor`` names is an admin now."""
        try:
            async with self._pool.connection() as connection:
                if await is_admin(connection, UUID(actor.removeprefix(_USER))):
                    return
        except RolesUnreadableError as error:
            log.error("%s", error)
        raise ApiError(
            403,
            "this user is not an admin",
            headers={"WWW-Authenticate": f'Bearer realm="{REALM}", error="insufficient_scope"'},
        )


def generated_token() -> str:
    """A token for where none is configured."""
    return secrets.token_urlsafe(32)


def is_own_page(request: Request) -> bool:
    """Whether the browser says that a page of this very server sends the request.

    SameSite cookies stop other sites, but not another port or subdomain of this one. A request
    without either header is no browser's, and a cookie is a browser's proof.
    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == request.headers.get("host")


def _bearer(request: Request) -> str | None:
    """The token of the Authorization header; None where there is no such header."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    # Of one length whatever was sent, so that a comparison tells nothing about the token's own.
    return hashlib.sha256(token.encode()).digest()


def _unauthorized(*, invalid: bool = False) -> ApiError:
    challenge = f'Bearer realm="{REALM}"' + (', error="invalid_token"' if invalid else "")
    return ApiError(
        401, "an admin's bearer token is needed", headers={"WWW-Authenticate": challenge}
    )


COOKIE = "tracking_session"
SESSION_SECONDS = 12 * 3600


class Sessions:
    """Makes and reads a browser's session: a signed cookie that says who logged in and until when.
    Times are Unix seconds.

    It is no secret of its own: the key is derived from the admin token, so a new token ends all
    sessions, and a restart of the server ends none. The cookie is HttpOnly (no script reads it),
    SameSite=Strict (no other site sends it), and opens nothing but this application.
    """

    def __init__(self, admin_token: str) -> None:
        self._key = hmac.digest(admin_token.encode(), b"tracking-pipeline session", "sha256")

    def issue(self, actor: str, expires_at: float) -> str:
        """The cookie for ``actor``, good until then."""
        said = f"{int(expires_at)}.{urlsafe_b64encode(actor.encode()).decode()}"
        return f"{said}.{self._signature(said)}"

    def actor_of(self, cookie: str, now: float) -> str | None:
        """Who logged in, None for a cookie that is not ours or has expired."""
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(said).encode()):
            return None
        expires_at, _, actor = said.partition(".")
        if int(expires_at) <= now:
            return None
        return urlsafe_b64decode(actor).decode()

    def _signature(self, said: str) -> str:
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()
