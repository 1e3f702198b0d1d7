"""Alembic runs this file to upgrade; nothing else may import it.

The connection comes from `tracking_pipeline.store.migrate`, inside the transaction that it opened
and will commit, so this file opens no connection and reads no configuration.
"""

from __future__ import annotations

from alembic import context

from tracking_pipeline.store.migrations.adoption import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema="public",
)
context.run_migrations()
