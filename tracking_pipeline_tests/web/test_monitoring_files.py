"""The rules for Prometheus and the dashboard for Grafana name what ``/metrics`` really serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
import yaml

from tracking_pipeline.health.metrics import METRICS
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline_tests.web.conftest import Serve

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES = FOLDER / "prometheus-rules.yml"
DASHBOARD = FOLDER / "grafana-dashboard.json"
_NAME = re.compile(r"\btracking_[a-z_]+\b")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool (Debian's prometheus) is not installed"
)


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    drawn = [target["expr"] for panel in panels for target in panel["targets"]]
    return [*drawn, *(rule["expr"] for rule in rules())]


def test_every_name_is_served(
    serve: Serve, with_meta: Sandbox, connection: psycopg.Connection
) -> None:
    served = serve(ALERT_CHANNELS="json://127.0.0.1:1/x")
    text = served.admin.get("/metrics").text
    names = {name for one in expressions() for name in _NAME.findall(one)}
    families = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    samples = {f"{family}{end}" for family in families for end in ("", "_bucket")}
    # What has no data yet is absent: the catalogue knows its name.
    known = {spec.export[0] for spec in METRICS.values() if spec.export}
    known.add("tracking_last_check_age_seconds")
    assert names <= samples | known
    assert len(names) > 15


def test_every_rule_names_a_runbook_that_is_there() -> None:
    runbooks = set(
        re.findall(r"^### `(\w+)`", (FOLDER / "../../docs/operations.md").read_text(), re.M)
    )
    named = {rule["labels"]["runbook"] for rule in rules() if "runbook" in rule["labels"]}
    assert named <= runbooks


@needs_promtool
def test_prometheus_reads_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


_UNIT_TEST = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: tracking_status
        values: 0x60
      - series: tracking_last_check_age_seconds
        values: 0x30 3000x30
      - series: tracking_destination_up{{destination="meta_capi"}}
        values: 1x40 0x20
      - series: tracking_delivery_attempts_total{{destination="meta_capi",outcome="retry"}}
        values: 0+9x60
      - series: tracking_delivery_attempts_total{{destination="meta_capi",outcome="delivered"}}
        values: 0+1x60
    alert_rule_test:
      - {{eval_time: 20m, alertname: TrackingMetricsAbsent, exp_alerts: []}}
      - {{eval_time: 20m, alertname: TrackingChecksStopped, exp_alerts: []}}
      - {{eval_time: 43m, alertname: TrackingDestinationPaused, exp_alerts: []}}
    promql_expr_test:
      - expr: count(ALERTS{{alertstate="firing"}}) by (alertname)
        eval_time: 55m
        exp_samples:
          - {{labels: '{{alertname="TrackingChecksStopped"}}', value: 1}}
          - {{labels: '{{alertname="TrackingDestinationPaused"}}', value: 1}}
          - {{labels: '{{alertname="TrackingDeliveryFails"}}', value: 1}}
"""


@needs_promtool
def test_the_rules_fire_when_they_should(tmp_path: Path) -> None:
    test = tmp_path / "test.yml"
    test.write_text(_UNIT_TEST.format(rules=RULES))
    done = subprocess.run(
        ["promtool", "test", "rules", str(test)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
