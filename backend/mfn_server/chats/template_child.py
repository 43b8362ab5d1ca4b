"""The process that renders chat templates: `python -m mfn_server.chats.template_child`.

A template is a program of somebody else. Jinja's sandbox, as transformers sets it up, keeps it from reaching anything,
but not from looping or from filling the memory. So it runs here: bounded in memory, killed when it takes too long, away
from the model. Reads requests as lines of JSON and answers each with a line.
"""

from __future__ import annotations

import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

MORE_BYTES = 256 * 2**20  # that a template may take, beside what is there when it begins
MOST_CHARACTERS = 1_000_000  # of a chat as text; a request's body has no more
GRACE = 2.0  # seconds after which the process ends itself, where whoever was to kill it is gone


def main() -> None:
    """Answers until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the end of stdin is what counts
    from transformers.utils.chat_template_utils import render_jinja_template  # 0.8 s; brings no torch

    _bound_memory(MORE_BYTES)
    _say({"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        _alarm(asked["seconds"] + GRACE)
        try:
            rendered: Any = render_jinja_template(  # which says that it gives a string, and gives two lists
                conversations=[asked["messages"]],
                chat_template=asked["template"],
                add_generation_prompt=True,
                **asked["names"],
            )
            text = rendered[0][0]
            if len(text) > MOST_CHARACTERS:
                raise ValueError(f"it makes a text of {len(text):,} characters of them; at most {MOST_CHARACTERS:,}")
            answer: dict[str, Any] = {"text": text}
        except MemoryError:
            answer = {"error": "it takes too much memory"}
        except Exception as error:  # of the template, which may raise whatever it likes
            answer = {"error": str(error)[:500] or type(error).__name__}
        _alarm(0)
        _say(answer)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _alarm(seconds: float) -> None:
    """Has the system end this process after so many seconds; 0: not any more. Windows cannot."""
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(seconds))


def _bound_memory(more: int) -> None:
    """Lets the process grow by so many bytes and no further; not where its size cannot be told."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
