"""Keeps what stands behind the ``?`` of a URL out of httpx's log.

httpx logs the whole URL of every request. Some APIs want a secret there by their design, such as
the ``api_secret`` of Google's Measurement Protocol, and a log is kept and read by many.
"""

from __future__ import annotations

import logging

import httpx


def hide_queries() -> None:
    """From now on no query of a URL is in what this process's httpx logs. May be called again."""
    logging.getLogger("httpx").addFilter(_HIDE_QUERIES)


class _HideQueries(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                argument.copy_with(query=None) if isinstance(argument, httpx.URL) else argument
                for argument in record.args
            )
        return True


# One object, because a logger takes the same filter only once.
_HIDE_QUERIES = _HideQueries()
