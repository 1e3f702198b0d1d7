"""The documentation says what is so."""

from __future__ import annotations

from docs.generate import ROOT, pages


def test_the_reference_is_made_of_the_code(database_url: str) -> None:
    made = pages(database_url)
    stale = [
        str(path.relative_to(ROOT))
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert not stale, "make docs writes them anew"
