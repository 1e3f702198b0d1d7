"""A browser's session: a signed cookie that says who logged in and until when. Pure.

It is no secret of its own: the key is derived from the admin token, so a new token ends all
sessions, and a restart of the server ends none. The cookie is HttpOnly (no script reads it),
SameSite=Strict (no other site sends it), and opens nothing but this application.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

COOKIE = "tracking_session"
SESSION_SECONDS = 12 * 3600


class Sessions:
    """Makes and reads the cookie's value. Times are Unix seconds."""

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
