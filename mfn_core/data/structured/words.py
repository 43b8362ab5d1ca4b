"""The words from which generated text is made, and small pieces that several kinds share."""

from __future__ import annotations

import random


def _words(text: str) -> list[str]:
    return text.split()


NOUNS = _words(
    "river stone garden lamp winter market letter bridge cloud engine forest window island copper signal harbour "
    "ladder mirror orchard paper quarry saddle thunder valley wagon anchor basket candle drum feather"
)
VERBS = _words("open close read write count merge split move find sort push pull send load save draw build parse")
PLACES = _words("north south east west upper lower old new grand little")
TOP_LEVEL = _words("com org net edu io info")
COLUMNS = _words("id name price quantity date city weight height colour score status year")
MONTHS = _words("January February March April May June July August September October November December")
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
SURNAMES = _words("Abbot Brook Carter Dale Ellis Fisher Grove Hill Irving Jordan Knight Lake Mason North Oakley Porter")


def name(rng: random.Random) -> str:
    """One noun, or two joined by an underscore."""
    return rng.choice(NOUNS) + rng.choice(["", "_" + rng.choice(NOUNS)])


def date(rng: random.Random) -> str:
    """A day of 1950 to 2030, as 2001-09-28."""
    return f"{rng.randint(1950, 2030)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def clock(rng: random.Random) -> str:
    """A time of day, to the second."""
    return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"


def host(rng: random.Random) -> str:
    """A made-up domain."""
    return f"{rng.choice(PLACES)}{rng.choice(NOUNS)}.{rng.choice(TOP_LEVEL)}"


def address(rng: random.Random) -> str:
    """A made-up e-mail address."""
    return f"{rng.choice(NOUNS)}.{rng.choice(NOUNS)}@{host(rng)}"
