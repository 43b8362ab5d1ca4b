"""MFN Studio's service: the web application, its database and the `mfn` command.

One folder a subject (`features/`, `inspecting/`, `steering/`, `presets/`, `model_info/`), each with its own routes,
queries and schemas; `db/` beside them; `app.py` and `cli.py` assemble.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mfn-studio")
except PackageNotFoundError:  # imported from a checkout that was never installed
    __version__ = "0+unknown"
