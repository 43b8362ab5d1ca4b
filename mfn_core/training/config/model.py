"""The Transformer of a run."""

from __future__ import annotations

from dataclasses import dataclass

from mfn_core.training.config.checks import require, require_positive


@dataclass(frozen=True)
class ModelConfig:
    """The Transformer: a Llama with tied embeddings.

    Attributes:
        width: d, channels of the residual stream.
        blocks, heads, mlp: how many blocks, attention heads, and channels inside the MLP.
        context: tokens in a text.
        vocabulary: size of the byte-level BPE vocabulary that is fitted to the mix.
    """

    width: int = 256
    blocks: int = 5
    heads: int = 4
    mlp: int = 688
    context: int = 256
    vocabulary: int = 4096

    def __post_init__(self) -> None:
        require_positive(self, "width", "blocks", "heads", "mlp")
        require(self.context >= 2, f"model.context must be at least 2, not {self.context}")
        require(self.width % (2 * self.heads) == 0, f"model.width must be a multiple of 2 × heads ({2 * self.heads})")
        require(
            self.vocabulary >= 257, f"model.vocabulary must be at least 257 (a token a byte), not {self.vocabulary}"
        )


@dataclass(frozen=True)
class BaseConfig:
    """A model that exists already, to be equipped instead of a new one.

    Attributes:
        path: a folder or a hub id: a causal LM of Hugging Face, or a bundle, whose layers are trained on. Empty for a
            new model. Its tokenizer and its shape take the place of `model`'s, but for `model.context`.
        freeze: whether its own weights stay as they are, so that only the layers learn.
        mlp: channels that each of its MLPs is widened to, at first without effect (`mfn_core.baselines.widen_mlps`): a
            dense model as large as one with layers of features, to compare it with. 0 for as many as it has.
    """

    path: str = ""
    freeze: bool = False
    mlp: int = 0

    def __post_init__(self) -> None:
        require(self.mlp >= 0, f"base.mlp must not be negative, not {self.mlp}")
        require(not self.mlp or bool(self.path), "base.mlp widens the MLPs of base.path, which is not given")
