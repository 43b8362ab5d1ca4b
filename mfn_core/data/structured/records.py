"""Records: JSON, CSV, server logs, dates, references."""

from __future__ import annotations

import json
import random

from mfn_core.data.structured.words import COLUMNS, DAYS, MONTHS, NOUNS, PLACES, SURNAMES, VERBS, clock, date, name


def json_text(rng: random.Random) -> str:
    """Records as JSON."""

    def value(depth: int) -> object:
        kind = rng.randrange(7 if depth else 5)
        if kind == 0:
            return rng.randint(0, 9999)
        if kind == 1:
            return round(rng.uniform(0, 100), 2)
        if kind == 2:
            return rng.choice([True, False, None])
        if kind == 3:
            return date(rng)
        if kind == 4:
            return f"{rng.choice(PLACES)} {rng.choice(NOUNS)}"
        if kind == 5:
            return [value(0) for _ in range(rng.randint(1, 4))]
        return {rng.choice(COLUMNS): value(depth - 1) for _ in range(rng.randint(1, 4))}

    data = [{key: value(1) for key in rng.sample(COLUMNS, rng.randint(3, 6))} for _ in range(rng.randint(1, 4))]
    return json.dumps(data if len(data) > 1 else data[0], indent=rng.choice([None, 2, 2, 4]))


def csv(rng: random.Random) -> str:
    """A table with a header, separated by commas, semicolons or tabs."""
    columns = rng.sample(COLUMNS, rng.randint(3, 5))
    separator = rng.choice([",", ",", ";", "\t"])

    def cell(column: str) -> str:
        if column in ("name", "city", "colour", "status"):
            return rng.choice(NOUNS)
        if column == "date":
            return date(rng)
        return str(rng.randint(1, 500)) if rng.random() < 0.6 else f"{rng.uniform(0, 100):.2f}"

    lines = [columns] + [[cell(c) for c in columns] for _ in range(rng.randint(6, 18))]
    return "\n".join(separator.join(line) for line in lines)


def log(rng: random.Random) -> str:
    """Lines of a server's log, with dates and times."""
    day = date(rng)

    def line() -> str:
        clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
        level = rng.choice(["INFO", "INFO", "WARNING", "ERROR", "DEBUG"])
        return f"{day} {clock} {level} {name(rng)}: {rng.choice(VERBS)} {rng.choice(NOUNS)} {rng.randint(1, 9999)}"

    return "\n".join(line() for _ in range(rng.randint(6, 16)))


def dates(rng: random.Random) -> str:
    """Days written in one of several ways, alone or as a diary's entries or a calendar's."""

    def parts() -> tuple[int, int, int]:
        return rng.randint(1, 28), rng.randint(1, 12), rng.randint(1700, 2030)

    def written(style: int) -> str:
        day, month, year = parts()
        long = MONTHS[month - 1]
        return [
            f"{day} {long} {year}",
            f"{long} {day}, {year}",
            f"{rng.choice(DAYS)}, {long} {day}, {year}",
            f"{month:02d}/{day:02d}/{year}",
            f"{day:02d}.{month:02d}.{year}",
            f"{year}-{month:02d}-{day:02d}T{clock(rng)}Z",
            f"{day}-{long[:3]}-{year % 100:02d}",
        ][style]

    style, event = rng.randrange(7), rng.random() < 0.5
    ends = [f": {rng.choice(VERBS)} the {rng.choice(NOUNS)}" if event else "" for _ in range(rng.randint(6, 18))]
    return "\n".join(written(style) + end for end in ends)


def references(rng: random.Random) -> str:
    """A list of books and papers, as at the end of an article."""

    def one(number: int) -> str:
        author = f"{rng.choice(SURNAMES)}, {rng.choice('ABCDEFGHJKLMNPRSTW')}."
        title = f"The {rng.choice(PLACES)} {rng.choice(NOUNS)} and the {rng.choice(NOUNS)}"
        year, first = rng.randint(1900, 2024), rng.randint(1, 400)
        journal = f"Journal of {rng.choice(NOUNS).title()} Studies"
        volume = rng.randint(1, 60)
        return rng.choice(
            [
                f"{author} ({year}). {title}. {journal}, {volume}({rng.randint(1, 12)}), {first}-{first + 14}.",
                f"[{number}] {author} {title}. {rng.choice(PLACES).title()} Press, {year}. pp. {first}-{first + 9}.",
                f'[{number}] {author} et al., "{title}", {journal} {volume} ({year}), doi:10.{first + 1000}/{year}.',
            ]
        )

    return "\n".join(one(number) for number in range(1, rng.randint(5, 12)))
