"""Put the page, the migrations and the demo into the wheel as data of `mfn_server`.

An editable install must not get copies of them (they would go stale in site-packages while the checkout
moves on), and hatchling's static `force-include` table makes no such difference; hence this hook.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CARRIED = {"frontend": "_frontend", "migrations": "_migrations", "demo": "_demo"}
"""Folder of the checkout -> folder inside `mfn_server`; `mfn_server.resources` looks in both places."""


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the folders of `CARRIED` to a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend the forced files of the wheel; `version` is "standard" or "editable".

        Raises FileNotFoundError when a folder is missing, so that no incomplete wheel is ever built.
        """
        if version == "editable":
            return
        for folder, name in CARRIED.items():
            source = Path(self.root, folder)
            if not source.is_dir():
                raise FileNotFoundError(f"the wheel needs the folder {folder}/, which is not in {self.root}")
            for file in sorted(source.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    target = Path("mfn_server", name, file.relative_to(source)).as_posix()
                    build_data["force_include"][str(file)] = target
