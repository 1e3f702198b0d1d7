"""Leads in the test's own database."""

from __future__ import annotations

import psycopg
import pytest

from tracking_pipeline_tests.geo.lead_table import LeadTable


@pytest.fixture
def leads(connection: psycopg.Connection) -> LeadTable:
    return LeadTable(connection)
