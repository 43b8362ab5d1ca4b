"""Notations: sums, formulas in LaTeX, chess."""

from __future__ import annotations

import random


def arithmetic(rng: random.Random) -> str:
    """Sums that are right."""

    def line() -> str:
        a, b = rng.randint(1, 99), rng.randint(1, 99)
        return rng.choice(
            [f"{a} + {b} = {a + b}", f"{a + b} - {b} = {a}", f"{a % 13} * {b % 13} = {a % 13 * (b % 13)}"]
        )

    return "\n".join(line() for _ in range(rng.randint(10, 30)))


def latex(rng: random.Random) -> str:
    """Formulas as they are typed for LaTeX."""

    def formula() -> str:
        x, y, n = rng.choice("xyzuvw"), rng.choice("abcpqr"), rng.randint(2, 9)
        greek = rng.choice(["alpha", "beta", "gamma", "lambda", "theta", "sigma"])
        return rng.choice(
            [
                f"\\frac{{{x}^{n}}}{{{y} + {n}}}",
                f"\\sum_{{i=1}}^{{n}} \\{greek}_i {x}^i",
                f"\\int_0^{{{n}}} {x}^{n} \\, d{x}",
                f"\\sqrt{{{x}^2 + {y}^2}} \\leq \\{greek}",
                f"\\lim_{{{x} \\to \\infty}} \\frac{{1}}{{{x}^{n}}} = 0",
                f"\\mathbf{{{y}}} \\cdot \\hat{{{x}}} = \\cos \\{greek}",
            ]
        )

    def piece() -> str:
        return rng.choice(
            [
                f"\\begin{{equation}}\n  {formula()} = {formula()}\n\\end{{equation}}",
                f"Let ${formula()}$ be given, and let ${formula()}$.",
                f"\\[ {formula()} \\]",
            ]
        )

    return "\n".join(piece() for _ in range(rng.randint(4, 9)))


def chess(rng: random.Random) -> str:
    """A list of chess moves in the usual notation; not of a game that could be played."""

    def move() -> str:
        square = rng.choice("abcdefgh") + str(rng.randint(1, 8))
        piece = rng.choice(["", "", "N", "B", "R", "Q", "K"])
        text = piece + rng.choice(["", "", "x" if piece else ""]) + square
        return rng.choice(["O-O", "O-O-O"]) if rng.random() < 0.05 else text + rng.choice(["", "", "", "", "+"])

    moves = " ".join(f"{n}. {move()} {move()}" for n in range(1, rng.randint(12, 36)))
    return f"{moves} {rng.choice(['1-0', '0-1', '1/2-1/2'])}"
