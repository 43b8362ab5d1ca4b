"""A folder that is there once all of it is written, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mfn_core.errors import MFNError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name at the end of the block, and is removed when that raises.

    Raises:
        MFNError: there is something of that name already, or somebody else is at it.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    if folder.exists() or partial.exists():
        raise MFNError(f"{folder if folder.exists() else partial} is there already; name a folder that is not")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
