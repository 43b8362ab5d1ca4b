"""Has transformers know bundles once `mfn_core` is imported, whichever of the two is imported first.

Transformers takes seconds to import and parts of `mfn_core` do without it, so that nothing is imported for this. If one
of transformers' registries is loaded already, bundles are entered at once; otherwise a finder waits for it, and enters
them when it has been executed. docs/decisions/0007-registration.md says why it is done so.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

AUTO = "transformers.models.auto"
# What enters bundles in which registry, when it is imported.
ENTRIES = {
    f"{AUTO}.configuration_auto": "mfn_core.hf.configuration",
    f"{AUTO}.modeling_auto": "mfn_core.hf.modeling",
    f"{AUTO}.tokenization_auto": "mfn_core.hf.tokenization",
}


class AfterImport:
    """A finder for `sys.meta_path` that finds nothing itself.

    Once certain modules have been executed, it imports what belongs to them.
    """

    def __init__(self, companions: dict[str, str]) -> None:
        self.companions = companions

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders say of a module that has a companion, whose import follows; None for any other."""
        companion = self.companions.pop(fullname, None)
        spec = None if companion is None else find_spec(fullname)
        if companion is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_then_import(module: ModuleType) -> None:
            execute(module)
            import_module(companion)

        spec.loader.exec_module = execute_then_import  # type: ignore[method-assign]
        return spec


def register() -> None:
    """Enters bundles in transformers' registries, now or when they are imported."""
    waiting = {}
    for registry, entry in ENTRIES.items():
        if registry in sys.modules:
            import_module(entry)
        else:
            waiting[registry] = entry
    if waiting:
        sys.meta_path.insert(0, AfterImport(waiting))
