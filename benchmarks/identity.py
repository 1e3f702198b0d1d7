"""How many events a second one core turns into match keys.

    python -m benchmarks.identity [--events N]

Each event carries five identifiers (e-mail, phone, first and last name, zip) as people type them.
*At first sight*, no two events have an e-mail, phone or last name in common, in any round, so that
no memory answers for the work. *Seen again*, the same few hundred people come time and again, as
the payload, the row and the lead of one event name the same person. Ours looks for the identifiers
itself and checks every number against its country's plan; the SDK is handed them and does not.
Measured in processor time, the best of several rounds.

`facebook-business` is measured on the same people. It raises on some spellings of a phone number;
those events are left out of its figure, and of ours beside it.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections.abc import Callable

from facebook_business.adobjects.serverside.user_data import UserData

from tracking_pipeline.identity import match_keys

ROUNDS = 5
SEEN_AGAIN = 500
FIRST_NAMES = ("Mary", "José", "Jean-Luc", "Anna Lena", "Siobhán", "WEI", "Olumide")
LAST_NAMES = ("O'Neil", "Müller", "van der Berg", "Smith", "García Márquez", "Иванов")
AREA_CODES = (212, 305, 312, 415, 512, 617, 650, 702)

Person = dict[str, str]


def people(first: int, count: int, phone: Callable[[random.Random], str]) -> list[Person]:
    """Give the people from number `first` on, always the same ones."""
    chance = random.Random(first)
    return [
        {
            "email": f"Person.{number}+shop@Example{number % 97}.com ",
            "phone": phone(chance),
            "first_name": chance.choice(FIRST_NAMES),
            "last_name": f"{chance.choice(LAST_NAMES)}{number}",
            "zip": f"{10001 + number % 80000}-{chance.randrange(10000):04}",
        }
        for number in range(first, first + count)
    ]


def american_phone(chance: random.Random) -> str:
    return (
        f"({chance.choice(AREA_CODES)}) {chance.randrange(200, 999)}-{chance.randrange(10**4):04}"
    )


def international_phone(chance: random.Random) -> str:
    return chance.choice(
        (
            f"+1 {chance.choice(AREA_CODES)} {chance.randrange(200, 999)} "
            f"{chance.randrange(10**4):04}",
            f"+44 7400 {chance.randrange(10**6):06}",
            f"+49 151 {chance.randrange(10**7, 10**8)}",
            f"+33 6 1{chance.randrange(10**7):07}",
        )
    )


def events_a_second(work: Callable[[Person], object], rounds: list[list[Person]]) -> float:
    """Give the figure of the best round."""
    best = 0.0
    for persons in rounds:
        start = time.process_time()
        for person in persons:
            work(person)
        best = max(best, len(persons) / (time.process_time() - start))
    return best


def ours(platform: str) -> Callable[[Person], object]:
    return lambda person: match_keys({"event_name": "Lead", "user_data": person}, platform)


def sdk_of_meta(person: Person) -> object:
    """Do what facebook-business does with a person."""
    return UserData(
        email=person["email"],
        phone=person["phone"],
        first_name=person["first_name"],
        last_name=person["last_name"],
        zip_code=person["zip"],
    ).normalize()


def without_crashes(work: Callable[[Person], object], persons: list[Person]) -> list[Person]:
    survivors = []
    for person in persons:
        try:
            work(person)
        except Exception:
            continue
        survivors.append(person)
    return survivors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000)
    count = parser.parse_args().events
    # The SDK logs the values it refuses.
    logging.disable(logging.CRITICAL)
    for title, phone in (
        ("American numbers as typed", american_phone),
        ("numbers of four countries, with +", international_phone),
    ):
        first_sight = [people(number * count, count, phone) for number in range(ROUNDS)]
        few = people(0, min(SEEN_AGAIN, count), phone)
        again = [few * (count // len(few))] * ROUNDS
        print(f"{title}, {ROUNDS} rounds of {count:,} events of five keys")
        for sight, rounds in (("first sight", first_sight), ("seen again", again)):
            print_figures(sight, rounds)


def print_figures(sight: str, rounds: list[list[Person]]) -> None:
    for platform in ("meta", "google"):
        figure = events_a_second(ours(platform), rounds)
        print(f"  {sight}, {platform:18} {figure:10,.0f} events/s")
    survivors = [without_crashes(sdk_of_meta, persons) for persons in rounds]
    theirs = events_a_second(sdk_of_meta, survivors)
    factor = events_a_second(ours("meta"), survivors) / theirs
    raised = sum(map(len, rounds)) - sum(map(len, survivors))
    print(
        f"  {sight}, facebook-business  {theirs:10,.0f} events/s, ours is {factor:.1f} times as "
        f"fast; it raised on {raised:,}"
    )


if __name__ == "__main__":
    main()
