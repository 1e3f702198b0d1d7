"""Sorts a batch of leads by what is known of their addresses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracking_pipeline.geo.address_look_up import AtHand
from tracking_pipeline.geo.lead_finding import Question, found_by_address, found_without_look_up
from tracking_pipeline.store.lead_places import Found


@dataclass(slots=True)
class SortedBatch:
    """``found`` can be saved; ``asked`` wait for the answer about an address that this worker has
    taken, ``in_line`` for another worker's; ``left`` stay as they are for a later run."""

    found: list[Found] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    in_line: list[Question] = field(default_factory=list)
    left: list[Question] = field(default_factory=list)


def sort_batch(questions: Sequence[Question], hand: AtHand) -> SortedBatch:
    """Puts each lead where it belongs."""
    batch = SortedBatch()
    for each in questions:
        address = each.address
        if not isinstance(address, str):
            batch.found.append(found_without_look_up(each))
        elif address in hand.taken:
            batch.asked.append(each)
        elif address in hand.in_line:
            batch.in_line.append(each)
        elif address in hand.left:
            batch.left.append(each)
        else:
            local = hand.local.finding(address, each.lead.attempts)
            known = hand.known.get(address)
            batch.found.append(found_by_address(each, known.or_else(local) if known else local))
    return batch
