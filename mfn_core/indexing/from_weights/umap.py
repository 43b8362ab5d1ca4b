"""Whether a map is to be drawn by UMAP. Asked by programs that do without torch, too."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from mfn_core.errors import ConfigError
from mfn_core.indexing.from_weights.types import WeightSettings

MOST_FOR_AUTO = 100_000  # features that `auto` still gives to UMAP
_FEWEST = 5  # features below which UMAP has no neighbourhoods to speak of


@cache
def umap_installed() -> bool:
    """Whether umap-learn can be imported."""
    return find_spec("umap") is not None


def umap_wanted(settings: WeightSettings, n: int) -> bool:
    """Whether a map of n features is to be drawn by UMAP too. Raises ConfigError where it cannot be."""
    if settings.map == "umap" and not umap_installed():
        raise ConfigError("a map by UMAP needs umap-learn: pip install 'mfn-studio[map]', or take map='pca'")
    wanted = settings.map == "umap" or (settings.map == "auto" and umap_installed() and n <= MOST_FOR_AUTO)
    return wanted and n >= _FEWEST
