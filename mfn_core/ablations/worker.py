"""One run of a grid in a process of its own: trained, then measured.

    python -m mfn_core.ablations.worker RUN DATA [BEGIN]

The first line of standard input is the config as JSON. When standard input ends before the run does, whoever started it
wants it to stop, or is no more: the step at hand is finished and saved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from mfn_core.ablations.measure import measured
from mfn_core.errors import MFNError
from mfn_core.training.config import TrainConfig
from mfn_core.training.run import train

STOPPED = 130


def main(arguments: Sequence[str]) -> int:
    """Gives the exit status: 0, 1 with a last line on stderr that says why, or 130 where it was stopped."""
    folder, data, *begin = map(Path, arguments)
    torch.set_num_threads(1)
    config = TrainConfig.from_json(json.loads(sys.stdin.readline()))
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    try:
        train(config, folder, data, note=_say, begin=begin[0] if begin else None)
        measured(folder, config)
    except KeyboardInterrupt:
        return STOPPED
    except (MFNError, OSError) as error:
        _say(f"Error: {error}")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _stop_at_end_of_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
