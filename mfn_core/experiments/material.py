"""What the predictions are tested on: models, texts, labels."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.config import CoderConfig
from mfn_core.errors import ConfigError
from mfn_core.evaluation.labelled import LabelledTokens
from mfn_core.model import MFNModel

VERSION = 3  # of what is computed and kept: a journal of another version begins anew
OURS, SAE = "MFN", "SAE"  # what the sources of features are called
SWEEPS = 240  # features; the design asks for 200

Progress = Callable[[str, float | None], None]
Texts = Sequence[Sequence[NDArray[np.int64]]]  # of each text its windows


@dataclass(frozen=True)
class Material:
    """What predictions are tested on.

    Attributes:
        model: with MFNs.
        twin: its dense twin; None where there is none.
        tuned_sae: the twin with SAEs in place of its stream, the Transformer trained on with them; None where there is
            none. What its codes cannot rebuild does not pass, whatever kind they are of.
        control: whether the same is measured on a Transformer of random weights, too.
        sae: the dense twin with post-hoc SAEs at the same places; None where there is none.
        home: texts of the kind that the model was trained on, held out.
        domains: texts of domains that it was not trained on, by name.
        labelled: texts whose labels probes are fitted to.
        seeds: the model trained with other seeds, the same in all else.
        seed_saes: the dense twins of `seeds` with post-hoc SAEs, in the same order; none, or one each.
        sweeps: features of each source that are clamped, over all layers; none for P4 unmeasured.
        concepts: by name, in the order of the labels' columns, whether whole texts are their units.
    """

    model: MFNModel
    home: Texts
    twin: MFNModel | None = None
    sae: MFNModel | None = None
    domains: Mapping[str, Texts] = field(default_factory=dict)
    labelled: Sequence[LabelledTokens] = ()
    concepts: Mapping[str, bool] = field(default_factory=dict)
    seeds: Sequence[MFNModel] = ()
    seed_saes: Sequence[MFNModel] = ()
    sweeps: int = SWEEPS
    tuned_sae: MFNModel | None = None
    control: bool = False

    def __post_init__(self) -> None:
        beside = [
            (name, other)
            for name, other in (("twin", self.twin), ("SAEs", self.sae), ("tuned", self.tuned_sae))
            if other is not None
        ]
        beside += [("model of another seed", other) for other in self.seeds]
        beside += [("SAEs of another seed", other) for other in self.seed_saes]
        for name, other in beside:
            if other.vocab_size != self.model.vocab_size:
                raise ConfigError(
                    f"{name}: a vocabulary of {other.vocab_size} tokens, and the model has one of "
                    f"{self.model.vocab_size}: they are compared on the same tokens"
                )
            if _vocabulary(other) != _vocabulary(self.model):
                raise ConfigError(f"{name}: another tokenizer than the model's: they are compared on the same tokens")
        if self.seed_saes and (self.sae is None or len(self.seed_saes) != len(self.seeds)):
            raise ConfigError(
                f"SAEs are needed of all seeds or of none: the model's own, and one for each of the {len(self.seeds)} "
                f"others; there are {len(self.seed_saes)}, and {'none' if self.sae is None else 'one'} of the model's"
            )
        for group in ((self.model, *self.seeds), (self.sae, *self.seed_saes) if self.sae else ()):
            shapes = [{n: coder.current_config for n, coder in model.coders.items()} for model in group]
            if any(_shape(other) != _shape(shapes[0]) for other in shapes[1:]):
                raise ConfigError(
                    "models of several seeds need layers of one kind, with the same F and K, at the same places"
                )

    @property
    def rows(self) -> list[NDArray[np.int64]]:
        """All windows of the text of home."""
        return list(itertools.chain.from_iterable(self.home))

    def settings(self, seed: int) -> dict[str, Any]:
        """What the results depend on, as plain data, for a journal and a report; texts by a digest."""
        digest = hashlib.blake2b(digest_size=16)
        for name, texts in (("", self.home), *self.domains.items()):
            digest.update(f"{name} {len(texts)} ".encode())
            for ids in itertools.chain.from_iterable(texts):
                digest.update(ids.tobytes())
        for text in self.labelled:
            digest.update(f"{text.scored} ".encode() + text.ids.tobytes() + text.labels.tobytes())
        return {
            "evidence": VERSION,
            "model": self.model.fingerprint,
            "twin": None if self.twin is None else self.twin.fingerprint,
            "sae": None if self.sae is None else self.sae.fingerprint,
            "tuned_sae": None if self.tuned_sae is None else self.tuned_sae.fingerprint,
            "control": self.control,
            "seeds": [other.fingerprint for other in self.seeds],
            "seed_saes": [other.fingerprint for other in self.seed_saes],
            "sweeps": self.sweeps,
            "texts": digest.hexdigest(),
            "domains": sorted(self.domains),
            "concepts": dict(self.concepts),
            "seed": seed,
        }


def _vocabulary(model: MFNModel) -> dict[str, int] | None:
    return None if model.tokenizer is None else model.tokenizer.get_vocab()


def _shape(layers: Mapping[int, CoderConfig]) -> dict[int, tuple[str, str, int, int | None]]:
    """Of each layer its kind, site, F and K."""
    return {n: (own.kind, own.site, own.n_features, getattr(own, "k", None)) for n, own in layers.items()}


def share(progress: Progress, what: str) -> Callable[[int, int], None]:
    """Of the progress of a part, which is told what is done and of how many, that of the whole."""
    return lambda done, total: progress(what, done / max(1, total))
