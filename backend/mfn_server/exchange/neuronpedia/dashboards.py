"""`batch-N.json`: dashboards of some features of one source, as SAEDashboard writes them for Neuronpedia.

The names are that project's. What it leaves out, older versions and newer ones alike, has its default here; keys that
are not named here are passed over.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mfn_core.errors import MFNError
from mfn_server.schemas import Text


class DashboardError(MFNError):
    """A batch file is missing, or is not what its format says."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class DashboardActivation(_Part):
    """A piece of text with the feature's value on each token.

    `bin_min` and `bin_contains` are -1 for one of the strongest pieces; else the piece was drawn from an interval of
    strengths, which holds that share. The `dfa_` fields are there for attention's features alone.
    """

    bin_min: float = 0
    bin_max: float = 0
    bin_contains: float = 0
    tokens: list[str]
    values: list[float]
    qualifying_token_index: int | None = None
    dfa_values: list[float] | None = None
    dfa_maxValue: float | None = None  # noqa: N815
    dfa_targetIndex: int | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one_value_a_token(self) -> DashboardActivation:
        if len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens with {len(self.values)} values")
        return self


class DashboardFeature(_Part):
    """One feature. Lists that belong together (`pos_str`, `pos_values`) go in step."""

    feature_index: int = Field(ge=0)
    neuron_alignment_indices: list[int] = []
    neuron_alignment_values: list[float] = []
    neuron_alignment_l1: list[float] = []
    correlated_neurons_indices: list[int] = []
    correlated_neurons_l1: list[float] = []
    correlated_neurons_pearson: list[float] = []
    correlated_features_indices: list[int] = []
    correlated_features_l1: list[float] = []
    correlated_features_pearson: list[float] = []
    neg_str: list[str] = []
    neg_values: list[float] = []
    pos_str: list[str] = []
    pos_values: list[float] = []
    frac_nonzero: float = 0
    freq_hist_data_bar_values: list[float] = []
    freq_hist_data_bar_heights: list[float] = []
    logits_hist_data_bar_heights: list[float] = []
    logits_hist_data_bar_values: list[float] = []
    n_prompts_total: int = 0
    n_tokens_in_prompt: int = 0
    dataset: Text = ""
    decoder_weights_dist: list[float] = []
    activations: list[DashboardActivation] = []
    vector: list[float] | None = None


class DashboardBatch(_Part):
    """One file. On Neuronpedia its source is called LAYER-SET, or LAYER-SET__SUFFIX."""

    model_id: Text
    layer: int = Field(ge=0)
    sae_set: Text
    sae_id_suffix: Text | None = None
    features: list[DashboardFeature]


def read_batch(path: Path) -> DashboardBatch:
    """Read a batch. Raises DashboardError where the file cannot be read, with the first field that is wrong."""
    try:
        return DashboardBatch.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DashboardError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DashboardError(f"{path}: {where}: {message}" if where else f"{path}: {message}") from error


def write_batch(path: Path, batch: DashboardBatch) -> None:
    """Write a batch; what is None is left out, as SAEDashboard does, but for the suffix, which its readers ask for."""
    body: dict[str, Any] = batch.model_dump(exclude_none=True)
    path.write_text(json.dumps(body | {"sae_id_suffix": batch.sae_id_suffix}, allow_nan=False), encoding="utf-8")
