"""What stands on web pages and beside them: addresses, HTML, XML, Markdown, e-mail, the network."""

from __future__ import annotations

import random

from mfn_core.data.structured.words import (
    COLUMNS,
    DAYS,
    MONTHS,
    NOUNS,
    PLACES,
    TOP_LEVEL,
    VERBS,
    address,
    clock,
    host,
    name,
)


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


def xml(rng: random.Random) -> str:
    """Records in XML, some with attributes."""
    item = rng.choice(NOUNS)
    fields = rng.sample(COLUMNS, rng.randint(2, 4))

    def record(number: int) -> str:
        inner = "".join(f"    <{f}>{rng.choice([rng.choice(NOUNS), str(rng.randint(1, 999))])}</{f}>\n" for f in fields)
        return f'  <{item} id="{number}">\n{inner}  </{item}>'

    records = "\n".join(record(number) for number in range(1, rng.randint(3, 7)))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{item}s>\n{records}\n</{item}s>'


def markdown(rng: random.Random) -> str:
    """Headings, lists, emphasis, links and tables of Markdown."""

    def block() -> str:
        one, two, three = rng.choice(NOUNS), rng.choice(NOUNS), rng.choice(NOUNS)
        return rng.choice(
            [
                f"## The {rng.choice(PLACES)} {one}",
                f"- **{one}**: a {rng.choice(PLACES)} {two}\n- *{two}*\n- `{name(rng)}`",
                f"1. {rng.choice(VERBS).title()} the {one}\n2. {rng.choice(VERBS).title()} the {two}\n"
                f"3. {rng.choice(VERBS).title()} the {three}",
                f"See [{one}](https://{host(rng)}/{one}) for the **{two}**.",
                f"| {one} | {two} |\n| --- | --- |\n| {rng.randint(1, 99)} | {three} |",
                f"> A {one} is not a {two}.",
                f"- [{rng.choice([' ', 'x'])}] {rng.choice(VERBS)} the {one}\n- [ ] {rng.choice(VERBS)} the {two}",
            ]
        )

    blocks = "\n\n".join(block() for _ in range(rng.randint(4, 9)))
    return f"# {rng.choice(PLACES).title()} {rng.choice(NOUNS)}\n\n{blocks}"


def email(rng: random.Random) -> str:
    """A short message with its header lines."""
    day = f"{rng.choice(DAYS)[:3]}, {rng.randint(1, 28)} {rng.choice(MONTHS)[:3]} {rng.randint(1995, 2025)}"
    topic = f"{rng.choice(PLACES)} {rng.choice(NOUNS)}"
    head = (
        f"From: {address(rng)}\nTo: {address(rng)}\nDate: {day} {clock(rng)} +0{rng.randint(0, 9)}00\n"
        f"Subject: {rng.choice(['', 'Re: ', 'Fwd: '])}{topic}\nMessage-ID: <{rng.randint(10**6, 10**7)}@{host(rng)}>"
    )
    lines = [
        f"Please {rng.choice(VERBS)} the {rng.choice(NOUNS)} by {rng.choice(DAYS)}." for _ in range(rng.randint(1, 4))
    ]
    return f"{head}\n\nHello,\n\n" + "\n".join(lines) + "\n\nRegards"


def network(rng: random.Random) -> str:
    """Addresses of machines: a hosts file, open ports, or interfaces with hardware addresses."""

    def four() -> str:
        return ".".join(str(rng.randint(1, 254)) for _ in range(4))

    kind = rng.randrange(3)
    if kind == 0:
        return "\n".join(f"{four()}\t{host(rng)}" for _ in range(rng.randint(5, 14)))
    if kind == 1:
        ports = ["22/tcp open ssh", "80/tcp open http", "443/tcp open https", "53/udp open domain"]
        return "\n".join(f"{four()}: {rng.choice(ports)}" for _ in range(rng.randint(5, 14)))
    return "\n".join(
        f"eth{n}: {four()}/{rng.choice([8, 16, 24])} ether {rng.randbytes(6).hex(':')}"
        for n in range(rng.randint(4, 9))
    )
