"""All that Dagster loads, on one screen: the domains of ``defs/``, and the resources.

Importing this module does no work: no connection, no environment, no file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import dagster as dg

from tracking_pipeline.defs import delivery, geo, health, maintenance
from tracking_pipeline.defs.resources import surroundings

# Dagster itself passes this parameter when it copies a sensor, and warns of its own doing.
warnings.filterwarnings("ignore", message="Parameter `owners` of initializer `SensorDefinition")
warnings.filterwarnings("ignore", message="Function `load_definitions_from_")


def build_defs(resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """The code location, for Dagster, the command line and tests alike."""
    domains = (delivery, geo, health, maintenance)
    return dg.Definitions.merge(
        *(dg.load_definitions_from_package_module(domain) for domain in domains),
        surroundings(resource_overrides),
    )


defs = build_defs()
