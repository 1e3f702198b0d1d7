"""What the embedded server says when it cannot serve."""

from __future__ import annotations

from tracking_pipeline.errors import ExplainedError


class EmbeddedPostgresError(ExplainedError):
    """The embedded PostgreSQL cannot be used; one line that names the thing and the remedy.

    It never carries the server's password or a statement.
    """
