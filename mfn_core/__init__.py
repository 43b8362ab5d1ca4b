"""Monosemantic feature neurons: a language model whose every block thinks in named features.

The science of MFN Studio, usable alone from a notebook: the layer, models equipped with it, training, indexing,
generation under interventions. It knows torch and transformers, and nothing of web, SQL or the app's files.

The names below are loaded when they are first used, so that importing a small part (the errors, say) does not wait
seconds for torch and transformers. From now on transformers, too, knows models saved here.
"""

from typing import TYPE_CHECKING

from mfn_core.hf.registration import register
from mfn_core.lazy import names_of

if TYPE_CHECKING:
    from mfn_core.codes import SparseCodes
    from mfn_core.config import MFNConfig, MFNLayerConfig
    from mfn_core.errors import MFNError
    from mfn_core.hf.configuration import MFNPretrainedConfig
    from mfn_core.hf.modeling import MFNForCausalLM
    from mfn_core.interventions import Condition, EditBuffers, Intervention, Ramp, Scope
    from mfn_core.layer import MFNLayer
    from mfn_core.model import MFNModel, MFNOutput
    from mfn_core.run import LayerTrace, Run

__all__ = [
    "Condition",
    "EditBuffers",
    "Intervention",
    "LayerTrace",
    "MFNConfig",
    "MFNError",
    "MFNForCausalLM",
    "MFNLayer",
    "MFNLayerConfig",
    "MFNModel",
    "MFNOutput",
    "MFNPretrainedConfig",
    "Ramp",
    "Run",
    "Scope",
    "SparseCodes",
]

_MODULES = {
    "codes": "SparseCodes",
    "config": "MFNConfig MFNLayerConfig",
    "errors": "MFNError",
    "hf.configuration": "MFNPretrainedConfig",
    "hf.modeling": "MFNForCausalLM",
    "interventions": "Condition EditBuffers Intervention Ramp Scope",
    "layer": "MFNLayer",
    "model": "MFNModel MFNOutput",
    "run": "LayerTrace Run",
}
__getattr__ = names_of(__name__, _MODULES)

register()
