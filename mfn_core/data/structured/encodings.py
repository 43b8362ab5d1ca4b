"""Encoded matter: DNA, base64, hexadecimal."""

from __future__ import annotations

import base64
import random

from mfn_core.data.structured.words import NOUNS, name


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
        return "\n".join(f"{rng.randbytes(20).hex()}  {name(rng)}.txt" for _ in range(rng.randint(4, 12)))
    return "\n".join(f"--{name(rng)}: #{rng.randbytes(3).hex()};" for _ in range(rng.randint(8, 20)))
