"""What the assets of tracking's health have in common in the catalog."""

from datetime import timedelta

import dagster as dg

GROUP = "tracking_health"
OWNERS = ["team:growth"]
# A check comes every 15 minutes: one missed is worth a look, three are a stall.
FRESHNESS = dg.FreshnessPolicy.time_window(
    warn_window=timedelta(minutes=31), fail_window=timedelta(minutes=46)
)
