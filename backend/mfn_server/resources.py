"""Where the files that are not Python lie: in the wheel inside this package, in a checkout beside it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from mfn_core.errors import MFNError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def _find(in_wheel: str, in_checkout: str) -> Path:
    for folder in (_PACKAGE / in_wheel, _CHECKOUT / in_checkout):
        if folder.is_dir():
            return folder
    raise MFNError(f"this installation is incomplete: it lacks {in_checkout}/; install mfn-studio again")


def frontend() -> Path:
    """The dashboard's files."""
    return _find("_frontend", "frontend")


def migrations() -> Path:
    """The Alembic environment and its versions."""
    return _find("_migrations", "migrations")


def demo() -> Path:
    """The demo: `model/`, `corpus/`, `index/`."""
    return _find("_demo", "demo")


def plotly_js() -> Path:
    """plotly.js as the installed plotly package carries it."""
    return Path(str(files("plotly") / "package_data" / "plotly.min.js"))
