"""What SAEBench's core evaluation says of exported codes. Run by a Python that has sae-bench; knows nothing of ours.

    python theirs.py FOLDER

FOLDER/base is a Llama in Hugging Face's format, FOLDER/tokens.npy int64 [n, T], FOLDER/saes/N a SAELens folder for a
hook of block N, FOLDER/asked.json `{"ignore": [token ids that do not count]}`. FOLDER/theirs.json is what is found.
SAEBench's own functions do the computing; the model is TransformerLens' and holds the base's weights unprocessed.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sae_bench.evals.core.eval_config import CoreEvalConfig  # noqa: E402
from sae_bench.evals.core.main import run_evals  # noqa: E402
from sae_lens import SAE  # noqa: E402
from transformer_lens import HookedTransformer, HookedTransformerConfig  # noqa: E402
from transformer_lens.pretrained.weight_conversions import convert_llama_weights  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402


class Tokens:
    """What SAEBench takes its tokens from: all of them at once."""

    def __init__(self, rows: torch.Tensor) -> None:
        self.rows, self.context_size, self.store_batch_size_prompts = rows, rows.shape[1], len(rows)

    def get_batch_tokens(self, batch_size: int) -> torch.Tensor:
        """int64 [n, T]."""
        assert batch_size == len(self.rows)
        return self.rows

    def reset_input_dataset(self) -> None:
        """They are the same each time."""


def hooked(base: Path) -> HookedTransformer:
    """TransformerLens' model with the weights of a Llama, neither folded nor centred."""
    plain = AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.float32)
    c = plain.config
    rope = getattr(c, "rope_parameters", None) or {}
    config = HookedTransformerConfig(
        n_layers=c.num_hidden_layers,
        d_model=c.hidden_size,
        n_ctx=c.max_position_embeddings,
        d_head=getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads,
        n_heads=c.num_attention_heads,
        n_key_value_heads=None if c.num_key_value_heads == c.num_attention_heads else c.num_key_value_heads,
        d_mlp=c.intermediate_size,
        d_vocab=c.vocab_size,
        act_fn=c.hidden_act,
        eps=c.rms_norm_eps,
        normalization_type="RMS",
        final_rms=True,
        gated_mlp=True,
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=False,
        rotary_base=rope.get("rope_theta", getattr(c, "rope_theta", 10000.0)),
        original_architecture="LlamaForCausalLM",
    )
    config.rotary_dim = config.d_head
    model = HookedTransformer(config)
    model.load_and_process_state_dict(
        convert_llama_weights(plain, config),
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
        refactor_factored_attn_matrices=False,
    )
    return model.eval()


def named(sae: Any) -> Any:
    """An SAE whose settings say where it belongs in the place in which SAEBench looks."""
    hook = sae.cfg.metadata.hook_name
    sae.cfg.hook_name, sae.cfg.hook_head_index = hook, None
    sae.cfg.architecture_str = sae.cfg.architecture()
    sae.cfg.hook_layer = int(re.findall(r"\d+", hook)[0])
    return sae


@torch.no_grad()
def main(folder: Path) -> None:
    """Reads what is asked, and writes what is found."""
    rows = torch.from_numpy(np.load(folder / "tokens.npy"))
    ignore = set(json.loads((folder / "asked.json").read_text())["ignore"])
    model, tokens = hooked(folder / "base"), Tokens(rows)
    asked = CoreEvalConfig(
        model_name="base",
        batch_size_prompts=len(rows),
        n_eval_reconstruction_batches=1,
        n_eval_sparsity_variance_batches=1,
        compute_kl=True,
        compute_ce_loss=True,
        compute_l2_norms=True,
        compute_sparsity_metrics=True,
        compute_variance_metrics=True,
        compute_featurewise_density_statistics=True,
        compute_featurewise_weight_based_metrics=True,
    )
    found: dict[str, Any] = {}
    for at in sorted((folder / "saes").iterdir()):
        sae = named(SAE.load_from_disk(at))
        scalars, features = run_evals(sae, tokens, model, asked, ignore_tokens=ignore)
        found[at.name] = {name: value for group in scalars.values() for name, value in group.items()} | {
            name: features[name] for name in ("feature_density", "encoder_decoder_cosine_sim", "max_decoder_cosine_sim")
        }
    packages = ("sae-bench", "sae-lens", "transformer-lens", "torch", "transformers")
    written = {"found": found, "versions": {name: version(name) for name in packages}}
    (folder / "theirs.json").write_text(json.dumps(written))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
