"""An equipped model: a Hugging Face causal LM whose blocks think in named features.

The narrow waist of the package: what lies below is tensors, what lies above is work done with a model.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache

from mfn_core import bundle
from mfn_core.codes import SparseCodes
from mfn_core.config import MFNConfig
from mfn_core.errors import ConfigError
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.layer import MFNLayer
from mfn_core.run import LayerTrace, Run, Stage
from mfn_core.sites import Family, family_of

SITE = "resid_mid"


@dataclass(frozen=True)
class MFNOutput:
    """What a forward pass gives.

    Attributes:
        logits: [B, T, V], or the last `logits_to_keep` positions.
        traces: by block number; empty unless the pass was recorded.
        past_key_values: the cache, if one was used.
    """

    logits: Tensor
    traces: dict[int, LayerTrace]
    past_key_values: Cache | None


class MFNModel(nn.Module):
    """A causal LM with a layer of monosemantic feature neurons in some or all of its blocks.

    `base` remains an ordinary Hugging Face model: `model.base.generate(...)` works, within `model.run(...)` where
    features are to be recorded or changed. Not to be shared between threads: a run is a state of the model.

    Attributes:
        base: the causal LM, its blocks opened.
        mfns: the layers by block number.
        tokenizer: or None, for work with token ids alone.
    """

    def __init__(
        self, base: PreTrainedModel, config: MFNConfig, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> None:
        """Opens `base` in place. New layers start untrained; `equip` says the same in a word."""
        super().__init__()
        self.base = base
        self.tokenizer = tokenizer
        self.family: Family = family_of(base)
        self.stage = Stage()
        self.mfns: dict[int, MFNLayer] = {}
        self._fingerprint: str | None = None
        n_blocks = len(self.family.blocks(base))
        for number, layer_config in sorted(config.layers.items()):
            if not 0 <= number < n_blocks:
                raise ConfigError(f"there is no block {number}: the model has blocks 0 to {n_blocks - 1}")
            layer = MFNLayer(self.d_model, layer_config, number, self.stage).to(self.device, self.dtype)
            self.family.open(base, number, layer)
            self.mfns[number] = layer

    @classmethod
    def equip(
        cls, base: PreTrainedModel, config: MFNConfig, tokenizer: PreTrainedTokenizerBase | None = None
    ) -> MFNModel:
        """Puts untrained layers of features into a model.

        Raises:
            UnknownFamilyError: nobody has said yet where this family's blocks open.
            ConfigError: a block that the model does not have.
        """
        return cls(base, config, tokenizer)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> MFNModel:
        """Loads a bundle: a local folder of safetensors and JSON. Nothing in it is executed.

        Raises:
            BundleError: what is missing or wrong in the folder.
        """
        parts = bundle.read(Path(folder))
        model = cls(parts.base, parts.config, parts.tokenizer)
        parts.fill(model.base)
        model._fingerprint = parts.fingerprint
        return model.to(device, dtype).eval()

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Writes the bundle that `from_pretrained` reads.

        Args:
            folder: made if need be; files of the same names are replaced.
            dtype: of the stored weights. Half precision halves the size and rounds the weights.
        """
        bundle.write(Path(folder), self.base, self.config, self.tokenizer, dtype)

    @property
    def config(self) -> MFNConfig:
        """The configuration as it stands: K and α may have been moved since."""
        return MFNConfig(
            {n: dataclasses.replace(m.config, k=m.k, alpha=m.alpha) for n, m in self.mfns.items()},
        )

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.base.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' type."""
        return self.base.dtype

    @property
    def d_model(self) -> int:
        """Channels of the residual stream."""
        return int(self.base.config.hidden_size)

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return int(self.base.config.vocab_size)

    @property
    def n_blocks(self) -> int:
        """Number of blocks, equipped or not."""
        return len(self.family.blocks(self.base))

    @property
    def max_context(self) -> int:
        """Tokens that fit into one text."""
        return int(self.base.config.max_position_embeddings)

    @property
    def n_features(self) -> dict[int, int]:
        """Number of features by equipped block."""
        return {number: layer.n_features for number, layer in self.mfns.items()}

    @property
    def bos_token_id(self) -> int | None:
        """The token that begins a text, or None where the model has none."""
        return cast("int | None", self.base.config.bos_token_id)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over configuration, tokenizer and weights, in hexadecimal. The same however a bundle is loaded.

        Computed once; after training on, call `refresh_fingerprint`.
        """
        if self._fingerprint is None:
            self._fingerprint = bundle.fingerprint(self.base, self.config, self.tokenizer, self.base.state_dict())
        return self._fingerprint

    def refresh_fingerprint(self) -> str:
        """Forgets the fingerprint and computes it anew, after weights have changed."""
        self._fingerprint = None
        return self.fingerprint

    def source_key(self, layer: int) -> str:
        """The name of one layer's features in tables and URLs: kind, site, layer and eight digits of its identity."""
        return f"mfn.{SITE}.{layer}-{self.source_hash(layer)[:8]}"

    def source_hash(self, layer: int) -> str:
        """SHA-256 of which model's which layer this is, in hexadecimal."""
        return hashlib.sha256(f"{self.fingerprint}/mfn/{SITE}/{layer}".encode()).hexdigest()

    def set_alpha(self, alpha: float) -> None:
        """Sets α in every layer."""
        if not 0.0 <= alpha <= 1.0:
            raise ConfigError(f"alpha must lie between 0 and 1, not {alpha}")
        for layer in self.mfns.values():
            layer.alpha = alpha

    def set_k(self, k: int) -> None:
        """Sets K, how many features may fire, in every layer."""
        for layer in self.mfns.values():
            if not 1 <= k <= layer.n_features:
                raise ConfigError(f"k must lie between 1 and {layer.n_features}, not {k}")
            layer.k = k

    @contextmanager
    def run(self, edits: EditBuffers | None = None, record: bool = False, train: bool = False) -> Iterator[Run]:
        """For as long as it is open, forward passes of `base` are edited, recorded or given an auxiliary branch.

        Raises:
            RuntimeError: a run is open already. Runs do not nest, since each is a state of the whole model.
        """
        if self.stage.run is not None:
            raise RuntimeError("a run of this model is already open")
        run = Run(edits, record, train)
        self.stage.run = run
        try:
            yield run
        finally:
            self.stage.run = None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool = False,
        edits: EditBuffers | None = None,
        record: bool = False,
        train: bool = False,
        logits_to_keep: int = 0,
    ) -> MFNOutput:
        """One forward pass.

        Args:
            input_ids: int64 [B, T].
            attention_mask: [B, past + T], 0 where there is padding.
            past_key_values: what went before; grows where `use_cache`.
            edits: interventions, one row a row of the batch.
            record: give traces.
            train: give traces with an auxiliary branch, for the losses.
            logits_to_keep: only the last so many positions' logits; 0 for all.
        """
        positions: Tensor | None = None
        if attention_mask is not None:
            positions = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
        with self.run(edits, record, train) as run:
            out = self.base(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=positions,
                past_key_values=past_key_values,
                use_cache=use_cache or past_key_values is not None,
                logits_to_keep=logits_to_keep,
            )
        return MFNOutput(out.logits, run.traces, out.past_key_values)

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a text as the model reads it: its beginning-of-text token first, if it has one.

        Names of special tokens within the text are text.
        """
        tokenizer = self._need_tokenizer()
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        start = [] if self.bos_token_id is None else [self.bos_token_id]
        return start + list(ids)

    @torch.inference_mode()
    def codes(self, text: str | Sequence[int]) -> dict[int, SparseCodes]:
        """The codes of a text, by block: each [T, K]."""
        ids = self.encode_text(text) if isinstance(text, str) else list(text)
        traces = self(torch.tensor([ids], device=self.device), record=True, logits_to_keep=1).traces
        return {number: trace.codes.flatten() for number, trace in traces.items()}

    @torch.inference_mode()
    def generate(
        self,
        prompt: str,
        interventions: Sequence[Intervention] = (),
        max_new_tokens: int = 64,
        **options: Any,
    ) -> str:
        """Continues a prompt, greedily unless `options` (those of `transformers`' generate) say otherwise.

        Returns:
            The continuation alone.

        Raises:
            InterventionError: an intervention names what is not there.
        """
        ids = self.encode_text(prompt)
        edits = EditBuffers.allocate(self.n_features, rows=1, device=self.device)
        edits.write(0, interventions, prompt_length=len(ids))
        inputs = torch.tensor([ids], device=self.device)
        options = {"do_sample": False, **options}
        with self.run(edits):
            out = cast(Any, self.base).generate(
                inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=max_new_tokens, **options
            )
        return cast(str, self._need_tokenizer().decode(out[0, len(ids) :], skip_special_tokens=True))

    def _need_tokenizer(self) -> PreTrainedTokenizerBase:
        if self.tokenizer is None:
            raise ConfigError("this model was made without a tokenizer: give token ids instead of text")
        return self.tokenizer
