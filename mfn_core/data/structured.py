"""Text with a format of its own, generated: DNA, base64, hexadecimal, URLs, JSON, HTML, CSV, code and the like.

These are the texts on which sparse features were first shown to be clean (Towards Monosemanticity, 2023). All of it
follows from a seed, so that a run can be repeated.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator

from mfn_core.data.corpus import Document


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


def _name(rng: random.Random) -> str:
    return rng.choice(NOUNS) + rng.choice(["", "_" + rng.choice(NOUNS)])


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1950, 2030)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def dna(rng: random.Random) -> str:
    """Bases in lines, some as FASTA with a header."""
    width = rng.choice([40, 50, 60])
    case = rng.choice([str.upper, str.lower, str.upper])
    lines = ["".join(rng.choices("acgt", k=width)) for _ in range(rng.randint(4, 14))]
    head = f">seq{rng.randint(1, 9999)} {rng.choice(NOUNS)} chromosome {rng.randint(1, 22)}\n"
    return (head if rng.random() < 0.5 else "") + case("\n".join(lines))


def base64_text(rng: random.Random) -> str:
    """Random bytes in base64, lines of 64 or one long one."""
    text = base64.b64encode(rng.randbytes(rng.randint(120, 420))).decode()
    if rng.random() < 0.4:
        return text
    return "\n".join(text[i : i + 64] for i in range(0, len(text), 64))


def hexadecimal(rng: random.Random) -> str:
    """A hex dump, a list of hashes, or colours."""
    kind = rng.randrange(3)
    if kind == 0:
        rows = []
        for row in range(rng.randint(5, 14)):
            raw = rng.randbytes(16)
            rows.append(f"{row * 16:08x}  {raw[:8].hex(' ')}  {raw[8:].hex(' ')}")
        return "\n".join(rows)
    if kind == 1:
        return "\n".join(f"{rng.randbytes(20).hex()}  {_name(rng)}.txt" for _ in range(rng.randint(4, 12)))
    return "\n".join(f"--{_name(rng)}: #{rng.randbytes(3).hex()};" for _ in range(rng.randint(8, 20)))


def urls(rng: random.Random) -> str:
    """A list of web addresses, some with queries; some e-mail addresses."""

    def one() -> str:
        host = f"{rng.choice(['www.', '', 'docs.', 'shop.'])}{rng.choice(PLACES)}{rng.choice(NOUNS)}"
        domain = f"{host}.{rng.choice(TOP_LEVEL)}"
        if rng.random() < 0.15:
            return f"{rng.choice(NOUNS)}.{rng.choice(NOUNS)}@{domain.removeprefix('www.')}"
        path = "/".join(rng.choice(NOUNS) for _ in range(rng.randint(1, 3)))
        query = f"?{rng.choice(COLUMNS)}={rng.randint(1, 999)}&page={rng.randint(1, 20)}" if rng.random() < 0.4 else ""
        return f"http{rng.choice(['s', 's', ''])}://{domain}/{path}{rng.choice(['', '.html', '/'])}{query}"

    return "\n".join(one() for _ in range(rng.randint(6, 18)))


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
            return _date(rng)
        if kind == 4:
            return f"{rng.choice(PLACES)} {rng.choice(NOUNS)}"
        if kind == 5:
            return [value(0) for _ in range(rng.randint(1, 4))]
        return {rng.choice(COLUMNS): value(depth - 1) for _ in range(rng.randint(1, 4))}

    data = [{key: value(1) for key in rng.sample(COLUMNS, rng.randint(3, 6))} for _ in range(rng.randint(1, 4))]
    return json.dumps(data if len(data) > 1 else data[0], indent=rng.choice([None, 2, 2, 4]))


def html(rng: random.Random) -> str:
    """A small web page."""
    rows = []
    for _ in range(rng.randint(3, 8)):
        word, other = rng.choice(NOUNS), rng.choice(NOUNS)
        rows.append(
            rng.choice(
                [
                    f'<p class="{word}">The {rng.choice(PLACES)} {word} and the {other}.</p>',
                    f'<a href="/{word}/{other}.html">{other}</a>',
                    f"<ul>\n  <li>{word}</li>\n  <li>{other}</li>\n</ul>",
                    f'<img src="{word}.png" alt="{other}" width="{rng.randint(50, 800)}">',
                    f'<div id="{word}"><span>{rng.randint(1, 99)}</span> {other}</div>',
                    f"<tr><td>{word}</td><td>{rng.randint(1, 999)}</td></tr>",
                ]
            )
        )
    title = f"{rng.choice(PLACES)} {rng.choice(NOUNS)}"
    body = "\n".join(rows)
    return (
        f"<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n<body>\n"
        f"<h1>{title}</h1>\n{body}\n</body>\n</html>"
    )


def csv(rng: random.Random) -> str:
    """A table with a header, separated by commas, semicolons or tabs."""
    columns = rng.sample(COLUMNS, rng.randint(3, 5))
    separator = rng.choice([",", ",", ";", "\t"])

    def cell(column: str) -> str:
        if column in ("name", "city", "colour", "status"):
            return rng.choice(NOUNS)
        if column == "date":
            return _date(rng)
        return str(rng.randint(1, 500)) if rng.random() < 0.6 else f"{rng.uniform(0, 100):.2f}"

    lines = [columns] + [[cell(c) for c in columns] for _ in range(rng.randint(6, 18))]
    return "\n".join(separator.join(line) for line in lines)


def python_code(rng: random.Random) -> str:
    """A few small functions."""

    def function() -> str:
        name, argument, other = f"{rng.choice(VERBS)}_{rng.choice(NOUNS)}", rng.choice(NOUNS), rng.choice(NOUNS)
        n = rng.randint(1, 99)
        body = rng.choice(
            [
                f"    {other} = []\n    for i in range(len({argument})):\n        if {argument}[i] > {n}:\n"
                f"            {other}.append({argument}[i])\n    return {other}",
                f"    if {argument} is None:\n        raise ValueError('{argument} is missing')\n"
                f"    return {argument} * {n}",
                f'    """Return the {other} of the {argument}."""\n    {other} = {{}}\n'
                f"    for key, value in {argument}.items():\n        {other}[key] = value + {n}\n    return {other}",
                f"    with open({argument}) as file:\n        {other} = file.read()\n"
                f"    return {other}.split('\\n')[:{n}]",
                f"    total = 0\n    while {argument} > 0:\n        total += {argument} % {n + 1}\n"
                f"        {argument} //= {n + 1}\n    return total",
            ]
        )
        return f"def {name}({argument}{rng.choice(['', f', {other}=None'])}):\n{body}"

    imports = "".join(f"import {m}\n" for m in rng.sample(["os", "sys", "json", "math", "random", "re"], 2))
    return imports + "\n\n" + "\n\n\n".join(function() for _ in range(rng.randint(2, 4)))


def arithmetic(rng: random.Random) -> str:
    """Sums that are right."""

    def line() -> str:
        a, b = rng.randint(1, 99), rng.randint(1, 99)
        return rng.choice(
            [f"{a} + {b} = {a + b}", f"{a + b} - {b} = {a}", f"{a % 13} * {b % 13} = {a % 13 * (b % 13)}"]
        )

    return "\n".join(line() for _ in range(rng.randint(10, 30)))


def log(rng: random.Random) -> str:
    """Lines of a server's log, with dates and times."""
    day = _date(rng)

    def line() -> str:
        clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
        level = rng.choice(["INFO", "INFO", "WARNING", "ERROR", "DEBUG"])
        return f"{day} {clock} {level} {_name(rng)}: {rng.choice(VERBS)} {rng.choice(NOUNS)} {rng.randint(1, 9999)}"

    return "\n".join(line() for _ in range(rng.randint(6, 16)))


KINDS: dict[str, Callable[[random.Random], str]] = {
    "dna": dna,
    "base64": base64_text,
    "hex": hexadecimal,
    "url": urls,
    "json": json_text,
    "html": html,
    "csv": csv,
    "python": python_code,
    "arithmetic": arithmetic,
    "log": log,
}


def structured_documents(seed: int) -> Iterator[Document]:
    """Endless documents of all kinds in turn-free random order; `meta["kind"]` says which. The same for one seed."""
    rng = random.Random(seed)
    kinds = list(KINDS)
    while True:
        kind = rng.choice(kinds)
        yield Document(KINDS[kind](rng), {"kind": kind})
