"""Packages whose names are loaded when they are first used: torch and transformers take seconds to import.

So a program that needs small parts (errors, plain arrays) never imports them, and the web server does without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def names_of(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """A module-level `__getattr__` (PEP 562) that imports a name from where it lives.

    Args:
        package: the package's `__name__`.
        modules: of each of its modules, by dotted path within it, the names that the package offers, between blanks.
    """
    home = {name: module for module, names in modules.items() for name in names.split()}

    def getattribute(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return getattribute
