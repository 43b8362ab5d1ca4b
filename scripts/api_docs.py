"""Builds the reference of `mfn_core` from its docstrings: `python -m scripts.api_docs [FOLDER]`, or `make docs`.

Needs no network, and its pages load nothing from another host. Whatever pdoc warns of (an annotation that names
nothing, a module that cannot be imported) is an error.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules, walk_packages
from types import ModuleType
from typing import Any, get_type_hints

import pdoc
import pdoc.render

import mfn_core

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"


def modules() -> Iterator[ModuleType]:
    """`mfn_core` and every module in it that can be imported here and whose name does not begin with an underscore."""
    yield mfn_core
    for found in walk_packages(mfn_core.__path__, "mfn_core."):
        if not found.name.rpartition(".")[2].startswith("_") and not lacks(found.name):
            yield import_module(found.name)


def lacks(module: str) -> str | None:
    """The package of others that a module needs and that is not installed here (Triton, say, where there is no GPU)."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("mfn_core"):
            raise
        return error.name
    return None


def public_names(module: ModuleType) -> dict[str, object]:
    """What a module offers: what `__all__` names, or else its own functions and classes without an underscore."""
    if hasattr(module, "__all__"):
        return {name: getattr(module, name) for name in module.__all__}
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(thing) or inspect.isfunction(thing))
        and thing.__module__ == module.__name__
    }


def build(folder: Path) -> None:
    """Writes the pages anew. Changes the modules' `__all__`: for a process that does nothing else.

    Raises:
        Warning: pdoc found something wrong; the text says what.
    """
    left_out = {}
    for found in walk_packages(mfn_core.__path__, "mfn_core."):
        if package := lacks(found.name):
            left_out[found.name] = package
            print(f"left out, since {package} is not installed: {found.name}")
    for module in list(modules()):
        names = public_names(module)
        for name, thing in names.items():
            setattr(module, name, thing)  # some are loaded when first used, and pdoc looks without using
            _mend(thing)
        if hasattr(module, "__path__"):  # its page would leave out the modules that `__all__` does not name
            held = {found.name for found in iter_modules(module.__path__) if not found.name.startswith("_")}
            held -= {name.rpartition(".")[2] for name in left_out if name.rpartition(".")[0] == module.__name__}
            vars(module)["__all__"] = sorted({*names, *held})
    pdoc.render.configure(docformat="google", footer_text="MFN Studio")
    shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc("mfn_core", *("!" + re.escape(name) for name in left_out), output_directory=folder)


def _mend(thing: Any) -> None:
    """Makes what Python generates from fields fit to be read.

    A generated constructor does not know in which module the names of its types, perhaps a base class's, have their
    meaning: it gets the types themselves. A NamedTuple calls its fields "Alias for field number 0": they say nothing,
    since the class says what they are.
    """
    if not inspect.isclass(thing):
        return
    if dataclasses.is_dataclass(thing):
        constructor: Any = thing.__init__
    elif hasattr(thing, "_fields"):
        constructor = thing.__new__
        for name in thing._fields:
            vars(thing)[name].__doc__ = ""
    else:
        return
    with suppress(NameError):  # a base class of another package that imports its types for checkers alone
        hints = get_type_hints(thing)
        constructor.__annotations__ |= {name: hints[name] for name in constructor.__annotations__ if name in hints}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SITE
    build(target)
    print(f"{target / 'index.html'} has the reference")
