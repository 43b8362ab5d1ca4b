"""What layers of features are compared with, on the same interfaces: SAEs, raw neurons, and others' files.

`SAE` and `NeuronCoder` are sparse codes like any other: a model equipped with them is browsed, steered, indexed and
evaluated by the same code. `load_saelens`, `load_gemma_scope` and `attach` bring in what others have trained;
`save_saelens` gives ours to their tools.
"""

from mfn_core.baselines.config import NeuronConfig, SAEConfig, TokenTableConfig
from mfn_core.baselines.files import attach
from mfn_core.baselines.gemma_scope import load_gemma_scope
from mfn_core.baselines.neurons import NeuronCoder
from mfn_core.baselines.objectives import objective_of
from mfn_core.baselines.sae import SAE
from mfn_core.baselines.saelens import load_saelens, save_saelens
from mfn_core.baselines.token_table import TokenTable
from mfn_core.baselines.wider import widen_mlps

__all__ = [
    "SAE",
    "NeuronCoder",
    "NeuronConfig",
    "SAEConfig",
    "TokenTable",
    "TokenTableConfig",
    "attach",
    "load_gemma_scope",
    "load_saelens",
    "objective_of",
    "save_saelens",
    "widen_mlps",
]
