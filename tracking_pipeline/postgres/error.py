"""What the embedded server says when it cannot serve."""

from __future__ import annotations


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; one line that names the thing and the remedy.

    It never carries the server's password or a statement.
    """
