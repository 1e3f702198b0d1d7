"""The charts of the report: what they draw, and what they say to whoever does not see them."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking_pipeline.health.view.charts import charts_of
from tracking_pipeline.health.view.report_data import ReportData
from tracking_pipeline.health.view.svg import (
    STYLE,
    Chart,
    ChartLine,
    gauge_arc,
    gauge_tick,
    image,
    svg,
)
from tracking_pipeline.store.health_snapshots import Taken
from tracking_pipeline_tests.health.recorded import NOW, new_site, sick_site


def chart(name: str, data: ReportData) -> Chart:
    (found,) = (each for each in charts_of(data) if each.name == name)
    return found


def queue(*points: tuple[datetime, float | None]) -> ReportData:
    return new_site(history=[Taken("queue_depth", None, value, "ok", at) for at, value in points])


def test_a_new_site_has_every_chart_and_each_says_why_it_is_empty() -> None:
    charts = charts_of(new_site())
    assert [each.name for each in charts] == [
        "emq_score",
        "emq_coverage",
        "queue_depth",
        "error_rate",
        "delivery_rate",
        "geo_coverage",
        "alerts",
    ]
    assert all(each.is_empty and each.summary.startswith("Nothing to draw yet") for each in charts)


def test_two_weeks_of_checks_become_a_line_of_bounded_length() -> None:
    for each in charts_of(sick_site()):
        for line in each.lines:
            assert 2 <= len(line.points) <= 180


def test_a_peak_of_the_queue_survives() -> None:
    calm = [(NOW - timedelta(minutes=15 * n), 1.0) for n in range(14 * 96, 0, -1)]
    spike = (NOW - timedelta(days=3, minutes=7), 400.0)
    (line,) = chart("queue_depth", queue(*sorted([*calm, spike]))).lines
    assert max(value for _, value in line.points if value is not None) == 400.0


def test_a_pause_of_the_checks_is_a_gap_and_no_straight_line() -> None:
    (line, *_) = chart("emq_score", sick_site()).lines
    assert [value for _, value in line.points].count(None) == 1


def test_two_checks_far_apart_are_still_a_line() -> None:
    (line,) = chart("queue_depth", queue((NOW - timedelta(days=5), 3.0), (NOW, 4.0))).lines
    assert [value for _, value in line.points] == [3.0, 4.0]


def test_destinations_that_never_waited_have_no_line() -> None:
    assert [line.label for line in chart("queue_depth", sick_site()).lines] == [
        "all",
        "google_ec",
        "meta_capi",
    ]


def test_thresholds_are_drawn_as_they_are_set() -> None:
    limits = chart("emq_score", sick_site()).limits
    assert [(limit.severity, limit.value) for limit in limits] == [
        ("warning", 7.0),
        ("critical", 4.0),
    ]


def test_the_summary_says_first_last_lowest_and_highest() -> None:
    one = chart("queue_depth", queue((NOW - timedelta(hours=2), 3.0), (NOW, 12.0)))
    assert "All: 3 at first, 12 at last, from 3 to 12." in one.summary
    assert "Thresholds: warning at 5, critical at 10." in one.summary
    assert one.table.columns == ("time", "all")
    assert [row[1] for row in one.table.rows] == ["3", "12"]


def test_the_table_is_short_and_ends_with_the_last_value() -> None:
    table = chart("error_rate", sick_site()).table
    assert 6 <= len(table.rows) <= 12
    assert table.rows[-1][0].startswith("2026-11-24")


def test_an_open_alert_reaches_to_now_and_the_shortest_is_still_to_be_seen() -> None:
    alerts = chart("alerts", sick_site())
    assert sum(bar.open for bar in alerts.bars) == 2
    assert {bar.ends for bar in alerts.bars if bar.open} == {NOW}
    shortest = min(bar.ends - bar.begins for bar in alerts.bars)
    assert shortest >= (alerts.ends - alerts.begins) * 0.005


def test_unmeasured_checks_draw_nothing() -> None:
    assert chart("queue_depth", queue((NOW - timedelta(hours=1), None), (NOW, None))).is_empty


def test_a_part_that_no_check_could_measure_has_no_line_beside_those_that_were() -> None:
    taken = [
        Taken("queue_depth", dimension, value, "ok", NOW - timedelta(hours=hours))
        for hours in (1, 2)
        for dimension, value in ((None, 3.0), ("meta_capi", 3.0), ("google_ec", None))
    ]
    assert [line.label for line in chart("queue_depth", new_site(history=taken)).lines] == ["all"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 14 * 24 * 60), st.none() | st.floats(0, 1e6)), max_size=60)
)
def test_any_history_gives_points_in_order_within_what_was_measured(
    minutes: list[tuple[int, float | None]],
) -> None:
    points = sorted((NOW - timedelta(minutes=ago), value) for ago, value in dict(minutes).items())
    measured = [value for _, value in points if value is not None]
    for line in chart("queue_depth", queue(*points)).lines:
        assert all(sooner < later for (sooner, _), (later, _) in pairwise(line.points))
        drawn = [value for _, value in line.points if value is not None]
        assert max(drawn) == pytest.approx(max(measured))
        assert min(drawn) >= min(measured) - 1e-6


def test_a_drawing_takes_its_colours_from_the_style_sheet_alone() -> None:
    style = STYLE.read_text()
    for each in charts_of(sick_site()):
        drawn = str(svg(each))
        ET.fromstring(drawn)
        assert not re.search(r"#[0-9a-f]{6}|style=|id=", drawn)
        for names in re.findall(r'class="([^"]+)"', drawn):
            for name in set(names.split()) - {"warning", "critical"}:
                assert f".{name}" in style, name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 720), st.none() | st.floats(-1e6, 1e6)),
        unique_by=lambda point: point[0],
    ),
    st.none() | st.just(10.0),
)
def test_whatever_was_measured_is_drawn_within_the_box(
    found: list[tuple[int, float | None]], highest: float | None
) -> None:
    begins = NOW - timedelta(days=30)
    points = [(begins + timedelta(hours=hour), value) for hour, value in sorted(found)]
    drawn = Chart("x", "X", "", "", begins, NOW, lines=[ChartLine("x", points)], highest=highest)
    root = ET.fromstring(str(svg(drawn)))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    line = next(each for each in root if each.attrib["class"] == "line l1")
    steps = re.findall(r"([Ml])(-?[\d.]+) (-?[\d.]+)", line.attrib["d"])
    assert len(steps) == sum(value is not None for _, value in points)
    x = y = 0.0
    for kind, right, down in steps:
        x, y = (float(right), float(down)) if kind == "M" else (x + float(right), y + float(down))
        assert -1 <= x <= width + 1
        assert -1 <= y <= height


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    hours = [(0, 5.0), (6, 5.0), (9, None), (12, 5.0), (18, None), (24, 6.0)]
    points = [(NOW + timedelta(hours=hour), value) for hour, value in hours]
    drawn = Chart("x", "X", "", "", NOW, NOW + timedelta(days=1), lines=[ChartLine("x", points)])
    path = re.search(r'class="line l1" d="([^"]+)"', str(svg(drawn)))
    assert path is not None
    assert re.findall(r"[Mlh]", path[1]) == ["M", "h", "l", "M", "h", "M", "h"]


@given(st.floats(allow_nan=False, min_value=-1e6, max_value=1e6))
def test_the_gauge_never_leaves_its_half_circle(score: float) -> None:
    numbers = [float(each) for each in re.findall(r"-?[\d.]+", gauge_tick(score))]
    for x, y in (numbers[:2], numbers[2:]):
        assert 0 <= x <= 120
        assert 0 <= y <= 60
    assert gauge_arc(0, 10) == "M 10.0 60.0 A 50 50 0 0 1 110.0 60.0"


def test_an_image_for_markdown_stands_alone_and_is_small() -> None:
    for each in charts_of(sick_site()):
        kind, _, content = image(each).partition(",")
        assert kind == "data:image/svg+xml;base64"
        assert len(content) < 14_000
        drawn = b64decode(content).decode()
        ET.fromstring(drawn)
        for name in re.findall(r"var\((--[\w-]+)\)", drawn):
            assert f"{name}:" in drawn


def test_every_line_of_a_chart_has_a_colour_of_its_own() -> None:
    for each in charts_of(sick_site()):
        names = re.findall(r'class="line (l\d)', str(svg(each)).partition("<text x=")[0])
        assert len(set(names)) == len(each.lines)
