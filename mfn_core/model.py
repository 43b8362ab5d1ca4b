"""An equipped model: a Hugging Face causal LM whose blocks think in named features.

The narrow waist of the package: what lies below is tensors, what lies above is work done with a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache

from mfn_core import bundle
from mfn_core.coder import SparseCoder
from mfn_core.config import MFNConfig
from mfn_core.data.encoder import TextEncoder
from mfn_core.errors import ConfigError
from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.layer import MFNLayer
from mfn_core.run import Branch, LayerTrace, Record, Revive, Run, Stage
from mfn_core.sites import Family, family_of

if TYPE_CHECKING:
    from mfn_core.generation import Sampling
    from mfn_core.reading import Comparison, DoseResponse, Effect, Feature, FeatureTable, SweetSpot, TextCodes
    from mfn_core.steering import SpotOrder


@dataclass(frozen=True)
class MFNOutput:
    """What a forward pass gives.

    Attributes:
        logits: [B, T, V], or the last `logits_to_keep` positions.
        traces: by block number; empty unless the pass was recorded.
        past_key_values: the cache, if one was used.
        run: what the pass was asked to do. Under gradient checkpointing the backward pass computes parts of the forward
            pass again: let it, within `model.stage.use(output.run)`.
    """

    logits: Tensor
    traces: dict[int, LayerTrace]
    past_key_values: Cache | None
    run: Run


class MFNModel(nn.Module):
    """A causal LM with a sparse code in some or all of its blocks: layers of monosemantic feature neurons, as a rule.

    `base` remains an ordinary Hugging Face model: `model.base.generate(...)` works, within `model.run(...)` where
    features are to be recorded or changed. Not to be shared between threads: a run is a state of the model.

    Attributes:
        base: the causal LM, its blocks opened.
        coders: the codes by block number; the number of blocks itself stands for `resid_final`.
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
        self.stage.watch(self.family.backbone(base), base.get_input_embeddings())
        self.coders: dict[int, SparseCoder] = {}
        self._fingerprint: str | None = None
        n_blocks = self.n_blocks
        for number, config_ in sorted(config.layers.items()):
            final = config_.site == "resid_final"
            if not 0 <= number < n_blocks + final or (final and number != n_blocks):
                raise ConfigError(
                    f"there is no block {number} for the site {config_.site}: the model has blocks 0 to "
                    f"{n_blocks - 1}, and resid_final stands at {n_blocks}"
                )
            width = self.family.width(base, config_.site)
            coder = config_.build(width, number, self.stage, self.vocab_size).to(self.device, self.dtype)
            self.family.open(base, number, coder)
            self.coders[number] = coder

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
        cls,
        where: str | Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        revision: str | None = None,
        token: str | None = None,
    ) -> MFNModel:
        """Loads a bundle: safetensors and JSON, of which nothing is executed.

        Args:
            where: a local folder; or, as a string, a name on the hub (`owner/name`) if there is no such folder.
            device: to which the weights go.
            dtype: to which the weights are cast.
            revision: branch, tag or commit on the hub; its main branch if left out.
            token: for the hub; the one that was logged in with if left out.

        Raises:
            BundleError: what is missing or wrong in the folder, or why the hub gives none.
        """
        parts = bundle.read(bundle.locate(where, revision=revision, token=token))
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

    def push_to_hub(
        self,
        name: str,
        dtype: torch.dtype = torch.float32,
        private: bool | None = None,
        message: str = "Upload model",
        revision: str | None = None,
        token: str | None = None,
    ) -> str:
        """Writes the bundle to a hub, where `from_pretrained(name)` finds it.

        What else lies there, the model card say, stays. `hf upload NAME FOLDER` uploads an exported folder with its
        card.

        Args:
            name: `owner/name`; the repository is made if need be.
            dtype: of the stored weights.
            private: whether a new repository is hidden from others; the owner's default if left out.
            message: of the commit.
            revision: the branch to write to; its main branch if left out.
            token: for the hub; the one that was logged in with if left out.

        Returns:
            The commit's address.

        Raises:
            BundleError: the hub cannot be reached, or refuses.
        """
        return bundle.push(lambda folder: self.save_pretrained(folder, dtype), name, private, message, revision, token)

    @property
    def config(self) -> MFNConfig:
        """The configuration as it stands: K and α may have been moved since."""
        return MFNConfig(
            {number: coder.current_config for number, coder in self.coders.items()},
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
        return {number: coder.n_features for number, coder in self.coders.items()}

    @property
    def signed(self) -> frozenset[int]:
        """The equipped blocks whose codes may be negative."""
        return frozenset(number for number, coder in self.coders.items() if coder.signed)

    @property
    def mfn_layers(self) -> dict[int, MFNLayer]:
        """Those of the codes that are layers of monosemantic feature neurons."""
        return {number: coder for number, coder in self.coders.items() if isinstance(coder, MFNLayer)}

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
        config = self.coders[layer].config
        return f"{config.kind}.{config.site}.{layer}-{self.source_hash(layer)[:8]}"

    def source_hash(self, layer: int) -> str:
        """SHA-256 of which model's which layer this is, in hexadecimal."""
        config = self.coders[layer].config
        return hashlib.sha256(f"{self.fingerprint}/{config.kind}/{config.site}/{layer}".encode()).hexdigest()

    def set_alpha(self, alpha: float) -> None:
        """Sets α in every layer of monosemantic feature neurons."""
        if not 0.0 <= alpha <= 1.0:
            raise ConfigError(f"alpha must lie between 0 and 1, not {alpha}")
        for layer in self.mfn_layers.values():
            layer.alpha = alpha

    def set_k(self, k: int) -> None:
        """Sets K, how many features may fire, in every layer of monosemantic feature neurons."""
        for layer in self.mfn_layers.values():
            if not 1 <= k <= layer.n_features:
                raise ConfigError(f"k must lie between 1 and {layer.n_features}, not {k}")
            layer.k = k

    def run(self, edits: EditBuffers | None = None, record: Record = False) -> AbstractContextManager[Run]:
        """For as long as it is open, forward passes of `base` are edited or recorded.

        Raises:
            RuntimeError: a run is open already. Runs do not nest, since each is a state of the whole model.
        """
        return self.stage.use(Run(edits, record))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        use_cache: bool = False,
        edits: EditBuffers | None = None,
        record: Record = False,
        branch: Branch = "none",
        revive: Mapping[int, Revive] | None = None,
        perturbation: Callable[[Tensor], Tensor] | None = None,
        logits_to_keep: int = 0,
    ) -> MFNOutput:
        """One forward pass.

        Args:
            input_ids: int64 [B, T].
            attention_mask: [B, past + T], 0 where there is padding.
            past_key_values: what went before; grows where `use_cache`.
            edits: interventions, one row a row of the batch.
            record: give traces; `codes` spares reconstructions that only a trace needs.
            branch: `train` gives traces with an auxiliary branch, for the losses, and `apart` does so with features
                that nothing reaches from the output; `stability` gives those of a pass that has no gradient but each
                layer's own.
            revive: which dead features AuxK asks for, by block number; with `branch="train"` or `"apart"`.
            perturbation: what is done to the token embeddings [B, T, d].
            logits_to_keep: only the last so many positions' logits; 0 for all.
        """
        positions: Tensor | None = None
        if attention_mask is not None:
            positions = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
        run = Run(edits, record, branch, revive or {}, perturbation)
        with self.stage.use(run), torch.set_grad_enabled(torch.is_grad_enabled() and branch != "stability"):
            out = self.base(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=positions,
                past_key_values=past_key_values,
                use_cache=use_cache or past_key_values is not None,
                logits_to_keep=logits_to_keep,
            )
        return MFNOutput(out.logits, run.traces, out.past_key_values, run)

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a text as the model reads it: its beginning-of-text token first, if it has one.

        Names of special tokens within the text are text.
        """
        return self.text_encoder(text)

    @property
    def text_encoder(self) -> TextEncoder:
        """What `encode_text` does, without the model."""
        return TextEncoder(self.required_tokenizer, self.bos_token_id)

    @torch.inference_mode()
    def codes(self, text: str | Sequence[int]) -> TextCodes:
        """The codes of a text, by block: `codes[layer]` has shape [T, K]. Shows itself, and what is strongest in it.

        Args:
            text: text, to which the beginning-of-text token is added; or token ids, taken as they are.
        """
        from mfn_core.reading import TextCodes, Tokens

        ids = self.encode_text(text) if isinstance(text, str) else list(text)
        traces = self(torch.tensor([ids], device=self.device), record=True, logits_to_keep=1).traces
        layers = {number: trace.codes.flatten() for number, trace in traces.items()}
        skip = int(bool(ids) and ids[0] == self.bos_token_id)
        return TextCodes(layers, Tokens.of(ids, self.tokenizer), skip)

    def top_features(self, text: str | Sequence[int], n: int = 10) -> FeatureTable:
        """The n features with the highest peaks on a text, over all blocks: `codes(text).top(n)`."""
        return self.codes(text).top(n)

    def feature(self, layer: int, index: int) -> Feature:
        """A handle on one feature: what its weights say, its values on a text, interventions on it.

        Raises:
            ConfigError: there is no such layer or feature.
        """
        from mfn_core.reading import Feature

        return Feature(self, layer, index)

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
        edits = EditBuffers.allocate(self.n_features, rows=1, device=self.device, signed=self.signed)
        edits.write(0, interventions, prompt_length=len(ids))
        inputs = torch.tensor([ids], device=self.device)
        options = {"do_sample": False, **options}
        with self.run(edits):
            out = cast(Any, self.base).generate(
                inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=max_new_tokens, **options
            )
        return cast(str, self.required_tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True))

    def compare(
        self,
        prompt: str,
        interventions: Sequence[Intervention],
        max_new_tokens: int = 64,
        sampling: Sampling | None = None,
    ) -> Comparison:
        """Continues a prompt plain and steered, to be read side by side; as `mfn_core.reading.compare` has it."""
        from mfn_core.reading import compare

        return compare(self, prompt, interventions, max_new_tokens, sampling)

    def effect(self, text: str, interventions: Sequence[Intervention], **options: Any) -> Effect:
        """What interventions are predicted to do to the next token, and what they do; as
        `mfn_core.reading.effects.effect` has it."""
        from mfn_core.reading import effect

        return effect(self, text, interventions, **options)

    def sweep(self, prompt: str, interventions: Sequence[Intervention], **options: Any) -> DoseResponse:
        """What comes of a range of strengths; as `mfn_core.reading.effects.sweep` has it."""
        from mfn_core.reading import sweep

        return sweep(self, prompt, interventions, **options)

    def sweet_spot(self, order: SpotOrder) -> SweetSpot:
        """A search for the strength that brings most of a concept for a stated cost in fluency."""
        from mfn_core.reading import sweet_spot

        return sweet_spot(self, order)

    @property
    def required_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer. Raises ConfigError where the model was made without one."""
        if self.tokenizer is None:
            raise ConfigError("this model was made without a tokenizer: give token ids instead of text")
        return self.tokenizer
