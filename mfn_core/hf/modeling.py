"""A bundle as a model of transformers.

`MFNForCausalLM` is a causal LM of the base's own class (`LlamaForCausalLM`, say) whose blocks are opened. Generation,
caches, attention, devices, sharding and the names in the state dict are hence the base's own, and the codes' names are
a bundle's. What is left to do here is to find that class, and to keep to the bundle's format.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from types import new_class
from typing import TYPE_CHECKING, Any, cast

from transformers import AutoModelForCausalLM, GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from mfn_core import bundle
from mfn_core.errors import BundleError, ConfigError
from mfn_core.hf.configuration import MFNPretrainedConfig

if TYPE_CHECKING:
    from mfn_core.model import MFNModel

# mfn_core.model is imported where it is used: it may be what imports transformers, whose registry then imports this;
# mfn_core.bundle may be loading for the same reason.

_OF_THE_HUB = ("cache_dir", "force_download", "local_files_only", "revision", "token")


class MFNForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """An equipped causal LM that transformers loads, saves, pushes and runs like any other.

    An instance is also one of the base's class. Its `equipped` has what transformers has no name for: the codes of a
    text, runs under interventions.

        model = AutoModelForCausalLM.from_pretrained("runs/demo/model")
        with model.equipped.run(record=True) as run:
            model.generate(**tokenizer("Once", return_tensors="pt"))
    """

    config_class = MFNPretrainedConfig

    def __new__(cls, config: MFNPretrainedConfig | None = None, *args: Any, **kwargs: Any) -> MFNForCausalLM:
        """An object of the class for `config`'s base; without a config, of this one (copying asks for it so)."""
        return super().__new__(cls if config is None else _class_of(config))

    def __init__(self, config: MFNPretrainedConfig, *args: Any, **kwargs: Any) -> None:
        """Builds the base and opens its blocks. Weights are random until they are loaded."""
        from mfn_core.model import MFNModel

        super().__init__(config.base_config, *args, **kwargs)
        # Kept out of the submodules: this model is one of its.
        self.__dict__["_equipped"] = MFNModel(cast(PreTrainedModel, self), config.codes)
        config._attn_implementation_internal = config.base_config._attn_implementation_internal
        self.config = config
        self.name_or_path = config.name_or_path

    @property
    def equipped(self) -> MFNModel:
        """The same model as `mfn_core` has it: for codes, interventions, features."""
        return cast("MFNModel", self.__dict__["_equipped"])

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *model_args: Any,
        config: MFNPretrainedConfig | None = None,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Loads a bundle, with the arguments that transformers documents (`dtype`, `device_map`, `revision`, …).

        Only safetensors are read, and nothing is executed whatever `trust_remote_code` says.

        Args:
            pretrained_model_name_or_path: a local folder, or a name on the hub.
            model_args: none, as a rule.
            config: in place of the one in the bundle.
            output_loading_info: give a dictionary beside the model, as transformers does.
            kwargs: the others that transformers documents.

        Raises:
            BundleError: there is no such bundle, or its weights do not fit its configuration.
        """
        hub = {name: kwargs.pop(name) for name in _OF_THE_HUB if name in kwargs}
        folder = bundle.locate(pretrained_model_name_or_path, **hub)
        if config is None:
            config = MFNPretrainedConfig.from_pretrained(folder)
        kwargs |= {"use_safetensors": True, "trust_remote_code": False, "output_loading_info": True}
        if not (folder / bundle.GENERATION).is_file():
            kwargs.setdefault("generation_config", GenerationConfig.from_model_config(config.base_config))
        load = cast(Any, super(MFNForCausalLM, _class_of(config))).from_pretrained  # the base's own
        model, info = load(folder, *model_args, config=config, **kwargs)
        for key, says in (("missing_keys", "lacks"), ("unexpected_keys", "has an unknown tensor")):
            if info[key]:
                raise BundleError(f"the weights in {folder} do not fit its {bundle.CONFIG}: {says} {min(info[key])}")
        model.name_or_path = model.config.name_or_path = str(pretrained_model_name_or_path)
        model.equipped.tokenizer = bundle.read_tokenizer(folder)
        return (model, info) if output_loading_info else model

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *args: Any, push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Writes a bundle, in the weights' own dtype: what `MFNModel.save_pretrained` writes, and reads.

        K and α are stored as they stand. With the model goes its tokenizer, if it was loaded with one.

        Args:
            save_directory: made if need be.
            args: further ones that transformers documents.
            push_to_hub: also push it, as `push_to_hub` does, to `repo_id` (the folder's name if left out).
            kwargs: further ones that transformers documents.
        """
        of_push = ("repo_id", "commit_message", "create_pr", "private", "revision", "tags")
        pushed = {name: kwargs.pop(name) for name in of_push if name in kwargs}
        self.config.mfn = self.equipped.config.to_json()
        super().save_pretrained(save_directory, *args, **kwargs)
        if self.equipped.tokenizer is not None and kwargs.get("is_main_process", True):
            self.equipped.tokenizer.save_pretrained(save_directory)
        if push_to_hub:
            self.push_to_hub(pushed.pop("repo_id", Path(save_directory).name), token=kwargs.get("token"), **pushed)


def _class_of(config: MFNPretrainedConfig) -> type[MFNForCausalLM]:
    """The class of a base's equipped models."""
    try:
        base = MODEL_FOR_CAUSAL_LM_MAPPING[type(config.base_config)]
    except KeyError:
        raise ConfigError(f"models of type {config.base_config.model_type!r} are no causal LMs") from None
    return _subclass(base)


@cache
def _subclass(base: type[PreTrainedModel]) -> type[MFNForCausalLM]:
    about = {"__module__": __name__, "__doc__": f"An equipped {base.__name__}.", "config_class": MFNPretrainedConfig}
    opened = new_class(MFNForCausalLM.__name__, (MFNForCausalLM, base), {}, lambda names: names.update(about))
    return cast("type[MFNForCausalLM]", opened)


AutoModelForCausalLM.register(MFNPretrainedConfig, MFNForCausalLM, exist_ok=True)
