"""From "equip this model" to the config of a run: what `mfn equip` fills in by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from mfn_core.config import MODEL_TYPE, Site
from mfn_core.data import split
from mfn_core.errors import ConfigError
from mfn_core.sites import family_of
from mfn_core.training.building import base_tokenizer, brief, start_token
from mfn_core.training.config import BaseConfig, DataConfig, MFNTraining, ModelConfig, SourceConfig, TrainConfig
from mfn_core.training.optimizer import OptimizerConfig

CONTEXT = 256
TEXT = "text"  # the folder with the text, in the run's
CHARACTERS_PER_TOKEN = 6  # more than any vocabulary makes of ordinary text
BF16_FROM = 256  # in narrower models bf16 costs a CPU more than it saves


@dataclass(frozen=True)
class Order:
    """What to equip and how.

    Attributes:
        model: a folder or a name on the hub.
        layers: blocks, such as `0-4,7`; or `all`.
        data: corpora as `read_corpus` takes them.
        held_out: text to measure on; where there is none, a part of the data is held out.
        features: F as a number, or `16x`: so many times the width of the stream at the site.
        k: K, how many features may fire on a token.
        site: where the layers stand.
        freeze: whether the model's own weights stay as they are.
        tokens: how many to train on.
    """

    model: str
    layers: str
    data: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    features: str = "16x"
    k: int = 16
    site: str = "resid_mid"
    freeze: bool = False
    tokens: int = 2_000_000


def config_of(order: Order) -> TrainConfig:
    """The run's config. The model's weights are not read yet.

    The learning rates are a tenth of those for training from scratch where the base moves (ours).

    Raises:
        ConfigError: the model cannot be read or has no tokenizer; layers, features or site do not fit it.
        UnknownFamilyError: nobody has said yet where this family's blocks open.
    """
    shape = _shape(order.model)
    base = _without_weights(shape, order.model)
    family = family_of(base)
    if order.site not in get_args(Site) or order.site == "resid_final":
        sites = ", ".join(site for site in get_args(Site) if site != "resid_final")
        raise ConfigError(f"--site must be one of {sites}, not {order.site!r}")
    if order.site == "resid_mid" and (why := family.no_mid(base)) is not None:
        raise ConfigError(f"{order.model} has no site resid_mid: {why}")
    layers = parse_layers(order.layers, len(family.blocks(base)))
    n_features = parse_features(order.features, family.width(base, order.site))  # type: ignore[arg-type]
    if not 1 <= order.k <= n_features:
        raise ConfigError(f"--k must lie between 1 and the number of features ({n_features}), not {order.k}")
    start_token(order.model, base_tokenizer(order.model))
    name = Path(order.model).resolve().name if Path(order.model).exists() else order.model.split("/")[-1]
    context = min(CONTEXT, shape.max_position_embeddings)
    batch = TrainConfig.batch
    steps = order.tokens // (batch * context)
    pace = max(1, min(TrainConfig.eval_every, steps // 4))
    about = ", ".join(Path(corpus).name if not corpus.startswith("hf:") else corpus for corpus in order.data)
    source = SourceConfig(1.0, f"{TEXT}/{split.TRAIN}", f"{TEXT}/{split.HELD_OUT}", about)
    return TrainConfig(
        name=f"{name}-mfn",
        description=f"{name} with layers of features in {len(layers)} of its {len(family.blocks(base))} blocks.",
        tokens=order.tokens,
        autocast="auto" if shape.hidden_size >= BF16_FROM else "none",
        eval_every=pace,
        checkpoint_every=pace,
        model=ModelConfig(context=context),
        base=BaseConfig(order.model, order.freeze),
        mfn=MFNTraining(
            layers=layers,
            n_features=n_features,
            k=order.k,
            site=order.site,
            k_first=min(4 * order.k, n_features),
            k_until=0.2,
            alpha_from=0.02,
            alpha_until=0.25,
            recon=1.0,
        ),
        data=DataConfig({"text": source}, valid_tokens=max(context, min(DataConfig.valid_tokens, order.tokens // 10))),
        optimizer=OptimizerConfig(lr=3e-4, matrix_lr=3e-4, mfn_lr=3e-3, weight_decay=0.0),
    )


def write_text(order: Order, config: TrainConfig, folder: Path) -> None:
    """Reads the order's corpora into the run's folder, as far as they are needed.

    Raises:
        CorpusError: they cannot be read, or hold too little.
        ConfigError: the folder holds the text of another run.
    """
    split.split_text(
        order.data,
        order.held_out,
        folder / TEXT,
        CHARACTERS_PER_TOKEN * order.tokens,
        CHARACTERS_PER_TOKEN * config.data.valid_tokens,
        config.data.max_document,
    )


def parse_layers(text: str, n_blocks: int) -> tuple[int, ...]:
    """`all`, or numbers and ranges such as `0-4,7`.

    Raises:
        ConfigError: it is neither, or names a block that is not there.
    """
    if text.strip() == "all":
        return tuple(range(n_blocks))
    numbers: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if found is None or (found[2] is not None and int(found[2]) < int(found[1])):
            raise ConfigError(f"--layers looks like 0-4,7 or all, not {text!r}")
        numbers.update(range(int(found[1]), int(found[2] or found[1]) + 1))
        if max(numbers) >= n_blocks:
            raise ConfigError(f"--layers names block {max(numbers)}; the model has blocks 0 to {n_blocks - 1}")
    return tuple(sorted(numbers))


def parse_features(text: str, width: int) -> int:
    """`16x` for 16 times the width, or a number of features.

    Raises:
        ConfigError: it is neither.
    """
    found = re.fullmatch(r"\s*(\d+)\s*([xX×]?)\s*", text)
    if found is None or int(found[1]) == 0:
        raise ConfigError(f"--features looks like 16x (times the model's width) or 4096, not {text!r}")
    return int(found[1]) * (width if found[2] else 1)


def parse_tokens(text: str) -> int:
    """`2M`, `500k`, `1.5B`, or a plain number.

    Raises:
        ConfigError: it is none of these.
    """
    found = re.fullmatch(r"\s*(\d[\d_]*(?:\.\d+)?)\s*([kKmMbB]?)\s*", text)
    if found is None:
        raise ConfigError(f"--tokens looks like 2M, 500k or 1500000, not {text!r}")
    return round(float(found[1]) * {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}[found[2].lower()])


def _shape(model: str) -> PreTrainedConfig:
    try:
        shape: PreTrainedConfig = AutoConfig.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{model} is neither the folder of a model nor a model's name on the hub, as far as can be seen: "
            f"{brief(error)}"
        ) from error
    if shape.model_type == MODEL_TYPE:
        raise ConfigError(f"{model} has layers of features already: train them on with mfn train and base.path")
    return shape


def _without_weights(shape: PreTrainedConfig, model: str) -> PreTrainedModel:
    try:
        with torch.device("meta"):
            base: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                shape, trust_remote_code=False
            )
    except ValueError as error:
        raise ConfigError(f"{model} is no causal language model: {brief(error)}") from error
    return base
