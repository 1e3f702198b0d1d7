"""What may be said in public of a database's address, and of why nobody answers there. Pure.

An address holds a user and a password, and generated passwords do not care for what a URL
reserves: behind a raw ``@`` or ``/`` a part of the password becomes the host or the database. So an
address is told only where it cannot hold anything else; after a connection was made, the connection
says where it leads.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
"""

from __future__ import annotations

import re

import psycopg

UNTOLD = "at the given address"

# Before the first "@" libpq reads user and password, whatever else they hold but a slash.
_ADDRESS = re.compile(
    r"""postgres(?:ql)?://
        (?:(?P<user>[^/@]*)@)?
        (?P<host>[A-Za-z0-9._-]+ | \[[0-9A-Fa-f:.]+\] )?
        (?::\d{1,5})?
        (?:/(?P<database>[A-Za-z0-9_.-]*))?
        (?:\?[^@/]*)?""",
    re.VERBOSE,
)
# Without user and password in front, what stands in the host's place may be a part of one.
_SURELY_A_HOST = re.compile(r"localhost|[\d.]+|\[.*\]|.*\.[A-Za-z][A-Za-z0-9-]*")

_UNKNOWN_HOST = (
    "the host is not known; in a password, reserved characters are written as %40 for @, %2F for /"
)
# A failed connection has no SQLSTATE, only the words of libpq and the server.
_SIGNS = {
    "authentication failed": "the user or the password is refused",
    "no password supplied": "a password is needed",
    "pg_hba.conf": "the server does not let this user or machine in",
    "does not exist": "there is no such database or user",
    "too many": "it has too many connections",
    "connection refused": "connection refused on that port",
    "could not translate host name": _UNKNOWN_HOST,
    "resolve host": _UNKNOWN_HOST,
    "name or service not known": _UNKNOWN_HOST,
    "invalid percent-encoded": "a percent sign is not encoded: write %25",
    "invalid integer value": "invalid port; in a password, : and / are written as %3A and %2F",
    "invalid port": "invalid port; in a password, : and / are written as %3A and %2F",
    "forbidden value %00": "it holds a NUL character",
    "timeout": "no answer in time",
    "ssl": "TLS failed",
}
_UNKNOWN_PARAMETER = re.compile(r'invalid (?:uri query parameter|connection option):? "([a-z_]+)"')
_IMPOSSIBLE_VALUE = re.compile(r'invalid (?!integer)([a-z_]+) value: "')


def describe(url: str) -> str:
    """Database and host of a URL, as in "tracking on db.example.com", where they cannot hold a part
    of a user's name or a password."""
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return UNTOLD
    user, host, database = found["user"], found["host"], found["database"]
    has_password = user is not None and ":" in user
    if host is not None and not has_password and not _SURELY_A_HOST.fullmatch(host):
        return UNTOLD
    return f"{database or 'postgres'} on {host or 'the local socket'}"


def describe_connection(connection: psycopg.Connection[object]) -> str:
    """The same of a connection that was made, which knows."""
    info = connection.info
    host = info.host if info.host and not info.host.startswith("/") else "the local socket"
    return f"{info.dbname} on {host}"


def why_not(error: psycopg.Error) -> str:
    """Why there is no connection, in words of ours: the server's may name users and addresses."""
    said = str(error).lower()
    if unknown := _UNKNOWN_PARAMETER.search(said):
        return f"PostgreSQL does not know the parameter {unknown[1]}"
    if value := _IMPOSSIBLE_VALUE.search(said):
        return f"impossible value for {value[1]}"
    for sign, words in _SIGNS.items():
        if sign in said:
            return words
    return f"SQLSTATE {error.sqlstate}" if error.sqlstate else "no connection"
