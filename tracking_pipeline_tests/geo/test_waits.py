from __future__ import annotations

from datetime import timedelta

import pytest

from tracking_pipeline.geo.waits import next_ask


def test_an_address_is_asked_again_five_times_with_growing_waits() -> None:
    waits = [next_ask(attempts) for attempts in range(1, 7)]
    assert waits == [*(timedelta(minutes=minutes) for minutes in (5, 10, 20, 40, 80)), None]


def test_no_wait_is_longer_than_two_hours_however_often_it_was_asked() -> None:
    assert all((next_ask(attempts) or timedelta()) <= timedelta(hours=2) for attempts in (5, 99))


def test_what_was_never_looked_up_has_no_wait() -> None:
    with pytest.raises(ValueError, match="never looked up"):
        next_ask(0)
