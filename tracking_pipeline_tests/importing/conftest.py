"""Files to import, and a site's own database to import them into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tracking_pipeline.store.migrate import migrate
from tracking_pipeline_tests.importing.writing import Write, encoded
from tracking_pipeline_tests.servers import TestServer


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(name: str, *content: str | bytes | dict[str, Any]) -> Path:
        path = tmp_path / name
        path.write_bytes(b"".join(map(encoded, content)))
        return path

    return write_file


@pytest.fixture(scope="session")
def site_template(server: TestServer) -> str:
    name = f"site_template_{uuid4().hex}"
    url = server.create_database(name)
    installation = Path(__file__).parents[1] / "store" / "existing_installation.sql"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(installation.read_bytes())
    migrate(url)
    return name


@pytest.fixture
def site_url(server: TestServer, site_template: str) -> Iterator[str]:
    """A site that has been running for months, adopted: its tables have columns of their own."""
    name = f"site_{uuid4().hex}"
    yield server.create_database(name, template=site_template)
    server.drop_database(name)


@pytest.fixture
def site(site_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(site_url, autocommit=True) as opened:
        yield opened
