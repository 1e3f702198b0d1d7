"""What a request handler works with: settings, database, access, runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
import psycopg
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from tracking_pipeline.settings import Settings
from tracking_pipeline.store.admins import AdminAction, record_action
from tracking_pipeline.store.database import AsyncPool, connect
from tracking_pipeline.web.attempt_counters import AttemptCounters
from tracking_pipeline.web.run_desk import RunDesk
from tracking_pipeline.web.security.access import Access, Principal
from tracking_pipeline.web.security.client_address import client_address
from tracking_pipeline.web.watch import Watch
from tracking_pipeline.wiring.installation import Installation

T = TypeVar("T")

# Admins are few, and each such connection is one of the database's.
_MOST_BLOCKING_QUERIES = 4


@dataclass(frozen=True)
class WebContext:
    """One server's. ``pool`` is for handlers that never block; :meth:`query` for all other reads
    and writes of the store."""

    installation: Installation
    pool: AsyncPool
    access: Access
    runs: RunDesk
    watch: Watch
    attempts: AttemptCounters = field(default_factory=AttemptCounters)
    _blocking: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(_MOST_BLOCKING_QUERIES)
    )

    @property
    def settings(self) -> Settings:
        return self.installation.settings

    async def query(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """What ``work`` makes of a connection of its own (autocommit), in a thread of its own.

        Raises :class:`~tracking_pipeline.store.database.DatabaseError` where there is none.
        """

        def connected() -> T:
            with connect(self.installation.database.url) as connection:
                return work(connection)

        return await anyio.to_thread.run_sync(connected, limiter=self._blocking)

    def client_address(self, request: Request) -> str | None:
        """The client's address, through the proxies of ``TRUSTED_PROXIES`` only."""
        return client_address(request, self.settings.trusted_proxies)

    async def audit(
        self, request: Request, admin: Principal, action: str, outcome: str, **detail: Any
    ) -> None:
        """Puts an action on record before it begins. ``detail``: JSON values, no personal data."""
        entry = AdminAction(admin.actor, action, outcome, detail, self.client_address(request))
        await self.query(lambda connection: record_action(connection, entry))


def web_context(request: Request) -> WebContext:
    """The context of the application that serves the request."""
    context: WebContext = request.app.state.context
    return context


Context = Annotated[WebContext, Depends(web_context)]

# It decides nothing: it puts the "Authorize" button into /docs.
shown_in_docs = HTTPBearer(
    auto_error=False, description="ADMIN_API_TOKEN, or a Supabase access token of an admin."
)


async def require_admin(
    request: Request, _shown: Annotated[object, Depends(shown_in_docs)]
) -> Principal:
    """The dependency of every admin endpoint."""
    return await web_context(request).access.admin(request)


Admin = Annotated[Principal, Depends(require_admin)]
