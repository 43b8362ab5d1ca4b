"""Where nobody watches, a long command says now and then how far it is."""

from __future__ import annotations

import io

from rich.console import Console

from mfn_server.progress import Lines


def test_a_line_comes_every_so_many_seconds_and_none_from_quick_work() -> None:
    now, out = [100.0], io.StringIO()
    tell = Lines(Console(file=out, width=20), every=20.0, clock=lambda: now[0])
    for seconds in (0, 1, 19.9, 20, 21, 39, 41, 185, 240):
        now[0] = 100.0 + seconds
        tell(f"reading [text] at {seconds}", seconds / 200 if seconds <= 200 else None)
    assert out.getvalue().splitlines() == [
        "[0:20] reading [text] at 20 (10%)",
        "[0:41] reading [text] at 41 (20%)",
        "[3:05] reading [text] at 185 (92%)",
        "[4:00] reading [text] at 240",
    ]
