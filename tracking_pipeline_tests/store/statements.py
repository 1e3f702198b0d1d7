"""Runs the store's asynchronous statements from a plain test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")
AsyncConnection = psycopg.AsyncConnection[Any]


def run_statement(database_url: str, statement: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What the statement gives on an autocommit connection of its own, as a worker has it."""

    async def connected() -> T:
        async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
            return await statement(connection)

    return asyncio.run(connected())
