"""A mapping of an opened payload."""

from __future__ import annotations

import re
from typing import Any

from tracking_pipeline.events.names import UNKNOWN, FieldPlace, meaning_of
from tracking_pipeline.events.shapes import Shape


class Node:
    """A mapping of the payload. ``of_row``: it stands in the row's own column, not in the payload.
    ``is_open`` False: its identifiers are nobody's that we know."""

    __slots__ = (
        "country",
        "depth",
        "end",
        "index",
        "is_open",
        "mapping",
        "name",
        "of_row",
        "parent",
        "place",
        "relation",
        "shape",
    )

    def __init__(  # noqa: PLR0917  one for each mapping of each event: no names are passed
        self,
        mapping: dict[Any, Any],
        shape: Shape,
        place: FieldPlace,
        parent: Node | None,
        name: str,
        index: int,
        depth: int,
        of_row: bool,
    ) -> None:
        self.mapping = mapping
        self.shape = shape
        self.place = place
        self.parent = parent
        self.name = name
        self.index = index
        self.end = index + 1
        self.depth = depth
        self.of_row = of_row
        self.is_open = True
        self.country: Any = None
        self.relation = 0

    def take_country(self) -> None:
        """The country that the mapping names, else that of the one around it."""
        if self.parent is not None:
            self.country = self.parent.country
        for name in self.shape.countries:
            if self.mapping[name] is not None:
                self.country = self.mapping[name]

    def names(self, field: str = "") -> list[str]:
        """The names on the way to the mapping, or to a field of it, the outermost first."""
        names = [field] if field else []
        node: Node | None = self
        while node is not None:
            if node.name:
                names.append(node.name)
            node = node.parent
        names.reverse()
        return names

    def path(self, field: str = "") -> str:
        """Where the mapping or a field of it stands, as it may be told and counted: without
        positions in lists, and with ``*`` for a name that could be a value itself."""
        return ".".join(map(shown_name, self.names(field)[-_MOST_SHOWN:]))


_MOST_SHOWN = 8
_SAFE_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,39}")
_POSITION = re.compile(r"\[\d+\]")


def shown_name(name: str) -> str:
    """A name of the site's own as it may be told: an identifier, or one that we know. With a space
    in it, any other could be somebody's."""
    plain = _POSITION.sub("", name)
    return plain if _SAFE_NAME.fullmatch(plain) or meaning_of(plain) is not UNKNOWN else "*"
