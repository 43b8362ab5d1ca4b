"""A bundle's `config.json` as a configuration of transformers."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedConfig

from mfn_core.config import FORMAT_VERSION, MODEL_TYPE, MFNConfig
from mfn_core.errors import ConfigError

# The weights' type stands beside the base's configuration; where the base came from may be a place on someone's disk.
_NOT_STORED = {"_name_or_path", "dtype", "transformers_version"}


def as_json(base: PreTrainedConfig, codes: MFNConfig, dtype: torch.dtype | str | None) -> dict[str, Any]:
    """What a bundle's `config.json` says.

    Args:
        base: of the model below.
        codes: of the codes.
        dtype: of the stored weights.
    """
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["MFNForCausalLM"],
        "format_version": FORMAT_VERSION,
        "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
        "base_config": {key: value for key, value in base.to_dict().items() if key not in _NOT_STORED},
        "mfn": codes.to_json(),
        "transformers_version": transformers.__version__,
    }


class MFNPretrainedConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The configuration of an equipped model: that of the model below, and that of its codes.

    What it does not hold itself, `vocab_size` say, it takes from the model below.

    Attributes:
        base_config: of the model below, as transformers has it.
        mfn: of the codes, as plain data; `codes` gives it as `MFNConfig`.
        format_version: of the bundle.
    """

    model_type = MODEL_TYPE
    sub_configs = {"base_config": AutoConfig}  # noqa: RUF012 - transformers reads it from the class
    has_no_defaults_at_init = True

    def __init__(
        self,
        base_config: PreTrainedConfig | dict[str, Any] | None = None,
        mfn: MFNConfig | dict[str, Any] | None = None,
        format_version: int = FORMAT_VERSION,
        **kwargs: Any,
    ) -> None:
        """Takes what `config.json` holds.

        Raises:
            ConfigError: there is no base, or the format is of another version, or a setting is impossible.
        """
        if base_config is None:
            raise ConfigError("the configuration of an equipped model needs a base_config")
        if format_version != FORMAT_VERSION:
            raise ConfigError(
                f"this is format version {format_version}; this version of mfn_core reads {FORMAT_VERSION}"
            )
        if isinstance(base_config, dict):
            base_config = AutoConfig.for_model(**base_config)
        codes = mfn if isinstance(mfn, MFNConfig) else MFNConfig.from_json(mfn or {})
        self.base_config: PreTrainedConfig = base_config
        self.mfn: dict[str, Any] = codes.to_json()
        self.format_version = format_version
        super().__init__(**kwargs)

    @property
    def codes(self) -> MFNConfig:
        """Which blocks have which codes."""
        return MFNConfig.from_json(self.mfn)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "base_config" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.__dict__["base_config"], name)

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The configuration of the model below: what caches and generation go by."""
        return self.base_config.get_text_config(decoder, encoder)

    def to_dict(self) -> dict[str, Any]:
        """What a bundle's `config.json` says."""
        return as_json(self.base_config, self.codes, self.dtype)

    def to_diff_dict(self) -> dict[str, Any]:
        """The same: a bundle leaves no setting to the defaults of the version that reads it."""
        return self.to_dict()


AutoConfig.register(MODEL_TYPE, MFNPretrainedConfig, exist_ok=True)
