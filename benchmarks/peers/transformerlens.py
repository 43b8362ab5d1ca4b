"""TransformerLens' `generate` with an SAE of SAELens in a hook, timed on request. Run by a Python that has both.

    python -m benchmarks.peers.transformerlens THREADS

Speaks the protocol of `benchmarks.harness.Peer`. Work: `steered`, a greedy text of a random model while five features
of a TopK SAE are set, what the SAE does not rebuild kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from benchmarks.peers.answering import answer_questions

warnings.filterwarnings("ignore")

import torch  # noqa: E402
from sae_lens import TopKSAE, TopKSAEConfig  # noqa: E402
from transformer_lens import HookedTransformer, HookedTransformerConfig  # noqa: E402


def steered(tokens: int, prompt: int, **size: int) -> Callable[[], object]:
    """A text of `tokens` tokens, with five features set in the middle block."""
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=size["blocks"],
            d_model=size["d"],
            n_ctx=size["context"],
            d_head=size["d"] // size["heads"],
            n_heads=size["heads"],
            d_mlp=size["mlp"],
            d_vocab=size["vocabulary"],
            act_fn="silu",
            gated_mlp=True,
            normalization_type="RMS",
            positional_embedding_type="rotary",
            rotary_dim=size["d"] // size["heads"],
            final_rms=True,
            default_prepend_bos=False,
            seed=0,
        )
    ).eval()
    # `generate` wants a tokenizer for its marks alone; none of them is in the text.
    model.tokenizer = SimpleNamespace(padding_side="right", pad_token_id=0, bos_token_id=0, eos_token_id=0)
    sae = TopKSAE(TopKSAEConfig(d_in=size["d"], d_sae=size["features"], k=size["k"], apply_b_dec_to_input=True))

    def hook(stream: Any, hook: Any) -> Any:
        codes = sae.encode(stream)
        changed = codes.clone()
        changed[..., :5] = 3.0
        return stream + sae.decode(changed) - sae.decode(codes)

    ids = torch.arange(1, prompt + 1)[None]
    place = f"blocks.{size['blocks'] // 2}.hook_resid_post"

    def work() -> None:
        with torch.inference_mode(), model.hooks(fwd_hooks=[(place, hook)]):
            model.generate(
                ids, max_new_tokens=tokens, do_sample=False, stop_at_eos=False, return_type="tokens", verbose=False
            )

    return work


if __name__ == "__main__":
    answer_questions({"steered": steered}, "transformer-lens", "sae-lens", "torch")
