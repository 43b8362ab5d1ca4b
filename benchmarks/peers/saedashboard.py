"""SAEDashboard's data for some features of one layer, timed on request. Run by a Python that has sae-dashboard.

    python -m benchmarks.peers.saedashboard THREADS

Speaks the protocol of `benchmarks.harness.Peer`. Work: `index`, of a folder with a Llama as transformers saves it
(`model`), an SAE as SAELens saves it (`sae`) and token ids (`tokens.safetensors`: `tokens`, int64 [documents, length]).
It is run once at once, so that the model's activations lie in its cache, and what it finds is written to a file.

Settings are those of its runner for Neuronpedia: 20 strongest documents, 5 intervals of strength with 5 samples each,
whole documents as contexts, 128 features and 32 documents at a time, activations of the model kept on the disk.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.answering import answer_questions

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from sae_dashboard.components_config import (  # noqa: E402
    ActsHistogramConfig,
    Column,
    FeatureTablesConfig,
    LogitsHistogramConfig,
    LogitsTableConfig,
    SequencesConfig,
)
from sae_dashboard.feature_data import FeatureData  # noqa: E402
from sae_dashboard.layout import SaeVisLayoutConfig  # noqa: E402
from sae_dashboard.sae_vis_data import SaeVisConfig, SaeVisData  # noqa: E402
from sae_dashboard.sae_vis_runner import SaeVisRunner  # noqa: E402
from sae_lens import SAE, HookedSAETransformer  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from transformer_lens import HookedTransformerConfig  # noqa: E402
from transformer_lens.pretrained.weight_conversions import convert_llama_weights  # noqa: E402
from transformers import LlamaForCausalLM  # noqa: E402

FEATURES_AT_A_TIME, DOCUMENTS_AT_A_TIME = 128, 32
TOP, INTERVALS, PER_INTERVAL = 20, 5, 5


def index(folder: str, outputs: str, features: int) -> Callable[[], object]:
    """What it gathers of the first features."""
    path = Path(folder)
    model = hooked(path / "model")
    sae = SAE.load_from_disk(path / "sae", device="cpu")
    # It folds the norms of decoder rows, which SAELens refuses unless they are said to scale the codes. They are 1.
    sae.cfg.rescale_acts_by_decoder_norm = True
    tokens = load_file(path / "tokens.safetensors")["tokens"]
    settings = SaeVisConfig(
        hook_point=sae.cfg.metadata.hook_name,
        features=range(features),
        minibatch_size_features=FEATURES_AT_A_TIME,
        minibatch_size_tokens=DOCUMENTS_AT_A_TIME,
        ignore_positions=[0],
        feature_centric_layout=layout(),
        cache_dir=path / "cache",
    )

    def work() -> SaeVisData:
        return SaeVisRunner(settings).run(sae, model, tokens)

    found = {number: outcome(data) for number, data in work().feature_data_dict.items()}
    Path(outputs).write_text(json.dumps(found), encoding="utf-8")
    return work


def hooked(folder: Path) -> HookedSAETransformer:
    """TransformerLens' model of a Llama, the last norm's weight and the mean over the vocabulary in its unembedding."""
    llama = LlamaForCausalLM.from_pretrained(folder)
    config = HookedTransformerConfig(
        n_layers=llama.config.num_hidden_layers,
        d_model=llama.config.hidden_size,
        n_ctx=llama.config.max_position_embeddings,
        n_heads=llama.config.num_attention_heads,
        d_head=llama.config.hidden_size // llama.config.num_attention_heads,
        d_mlp=llama.config.intermediate_size,
        d_vocab=llama.config.vocab_size,
        act_fn="silu",
        eps=llama.config.rms_norm_eps,
        normalization_type="RMS",
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=False,
        rotary_dim=llama.config.hidden_size // llama.config.num_attention_heads,
        final_rms=True,
        gated_mlp=True,
        device="cpu",
    )
    model = HookedSAETransformer(config)
    with torch.no_grad():
        model.load_and_process_state_dict(convert_llama_weights(llama, config), center_writing_weights=False)
    return model.eval()


def layout() -> SaeVisLayoutConfig:
    """What is gathered of a feature."""
    sequences = SequencesConfig(
        stack_mode="stack-all",
        buffer=None,
        n_quantiles=INTERVALS,
        top_acts_group_size=TOP,
        quantile_group_size=PER_INTERVAL,
    )
    tables = ActsHistogramConfig(), LogitsHistogramConfig(), LogitsTableConfig(), FeatureTablesConfig(n_rows=3)
    return SaeVisLayoutConfig(columns=[Column(sequences, *tables)])


def outcome(data: FeatureData) -> dict[str, Any]:
    """What is compared. `strongest`: document, position and strength of its strongest firings, the strongest first."""
    strongest = []
    for sequence in data.sequence_data[0].seq_data:
        position = sequence.qualifying_token_index
        # It shows a document without its first token. Where a feature fires too seldom, the list is filled up with 0.
        if position and sequence.feat_acts[position - 1] > 0:
            strongest.append((sequence.original_index, position, sequence.feat_acts[position - 1]))
    logits = data.logits_table_data
    return {
        "firings": sum(data.acts_histogram_data.bar_heights),
        "strongest": strongest,
        "promoted_ids": logits.top_token_ids,
        "promoted_logits": logits.top_logits,
        "suppressed_ids": logits.bottom_token_ids,
        "suppressed_logits": logits.bottom_logits,
    }


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    answer_questions({"index": index}, "sae-dashboard", "sae-lens", "transformer-lens", "torch")
