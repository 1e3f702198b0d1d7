from __future__ import annotations

from pathlib import Path

from tracking_pipeline.events.describe import page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_what_is_read_is_made_of_the_readers_tables() -> None:
    written = (DOCS / "what-we-read.md").read_text()
    assert written == page(), "make docs writes it anew"
