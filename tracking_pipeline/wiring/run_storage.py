"""Where Dagster keeps its runs: ``DAGSTER_POSTGRES_URL`` or the embedded server, where the
instance's ``dagster.yaml`` names our storage, and anywhere else it says.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tracking_pipeline.settings import (
    INSTANCE_FILE,
    Settings,
    dagster_home,
    project_file,
)
from tracking_pipeline.wiring.installation import DAGSTER_DATABASE, embedded_server

STORAGE_CLASS = "TrackingStorage"


def instance_file() -> Path:
    """The ``dagster.yaml`` in force: that of ``DAGSTER_HOME``, which need not have one, else the
    project's or the package's own. Raises :class:`SettingsError`."""
    home = dagster_home()
    return project_file(INSTANCE_FILE) if home is None else home / INSTANCE_FILE


def keeps_runs_in_our_storage(file: Path) -> bool:
    """Whether the instance that this file describes keeps its runs at :func:`run_storage_url`."""
    try:
        found = yaml.safe_load(file.read_bytes())["storage"]["custom"]["class"]
    except (OSError, yaml.YAMLError, LookupError, TypeError):
        return False  # as Dagster understands it, or refuses it
    return bool(found == STORAGE_CLASS)


def run_storage_url(settings: Settings) -> str:
    """The libpq URL of our storage."""
    if settings.dagster_postgres_url is None:
        with embedded_server(settings.home) as server:
            return server.ensure_database(DAGSTER_DATABASE)
    # SQLAlchemy would let it name a driver, too.
    _, rest = settings.dagster_postgres_url.get_secret_value().split("://", 1)
    return f"postgresql://{rest}"
