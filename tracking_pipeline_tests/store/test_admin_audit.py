"""The log of what admins did."""

from __future__ import annotations

import psycopg
import pytest

from tracking_pipeline.store.admins import AdminAction, record_action

ACTION = AdminAction("token 1", "retry", "started", {"run_id": "1"}, "81.2.69.160")


def test_what_is_on_record_stays_there(connection: psycopg.Connection) -> None:
    record_action(connection, ACTION)
    for statement in ("update %s set actor = ''", "delete from %s"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            connection.execute((statement % "tracking_admin_actions").encode())
    rows = connection.execute(
        "select actor, action, outcome, detail, remote, at is not null from tracking_admin_actions"
    ).fetchall()
    assert rows == [("token 1", "retry", "started", {"run_id": "1"}, "81.2.69.160", True)]


def test_an_action_is_on_record_only_if_it_was_done(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        record_action(connection, ACTION)
    assert connection.execute("select from tracking_admin_actions").fetchall() == []
