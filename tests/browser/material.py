"""The model and the texts of the browser tests: nothing in them means well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.data.tokenizer import fit_tokenizer

CONTEXT = 512
VOCABULARY = 420
WIDTH = 256  # of the MLPs
HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'

TEXTS = [
    "The hospital was quiet that night. A doctor walked past the empty beds and wrote a note for the morning.",
    "The ship left the harbour at dawn, and the harbour was quiet again. Nobody on the ship looked back.",
    "Snow fell on the hills, on the road, on the roofs; the snow fell all night and the night was white.",
    "Take two eggs, a cup of flour and a little salt. Mix the flour and the eggs, then add the salt.",
    "def area(radius):\n    if radius < 0:\n\t\traise ValueError\n    return 3.14159 * radius ** 2\n",
    '{"name": "Ada", "year": 1815, "tags": ["poet", "engine"], "alive": false}',
    "東京都の夜は静かでした。 Über den Dächern von Köln lag Schnee. صباح الخير 🌅 🏳️‍🌈",
    f"Comments said {HOSTILE} and then &lt;b&gt;bold&lt;/b&gt; \u202ereversed\u202c.",
    "A" * 300,
    "GATTACAGATTACAGATTACA ATGGCGTACGTTAGCCTAGGATCCGATTACAGATTACATAA",
]


def write_bundle(folder: Path, codes: MFNConfig | None = None) -> Path:
    """A random model, large enough that its writing can be watched, and without an end-of-text token of its own.

    `codes` are those that it is equipped with: three layers of features if nothing is said.
    """
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=None,
        pad_token_id=0,
        tie_word_embeddings=True,
        initializer_range=0.15,
    )
    base = LlamaForCausalLM(config)
    codes = codes or MFNConfig.uniform(3, MFNLayerConfig(n_features=160, k=8))
    model = MFNModel.equip(base, codes, fit_tokenizer(TEXTS, VOCABULARY))
    model.save_pretrained(folder)
    (folder / "card.json").write_text(json.dumps({"name": "random", "description": f"Random weights. {HOSTILE}"}))
    return folder


def write_corpus(path: Path) -> Path:
    """Each text a few times over, in different company."""
    lines = [
        json.dumps({"text": f"{first} {second}", "title": f"{HOSTILE} {n}"})
        for n, first in enumerate(TEXTS)
        for second in TEXTS
    ]
    path.write_text("\n".join(lines))
    return path


def write_dashboards(folder: Path) -> Path:
    """Sixty dashboards in two files, as SAEDashboard writes them. Feature 7 has everything, of 9 most is missing."""
    folder.mkdir()
    features = [_dashboard(number) for number in range(60)]
    features[7]["activations"][0]["tokens"] = [HOSTILE, " the", " sh\u200bip", "\n"]
    features[9] |= {"activations": [], "pos_str": [], "pos_values": [], "freq_hist_data_bar_values": []}
    for number, part in enumerate((features[:30], features[30:])):
        batch = {"model_id": HOSTILE, "layer": 6, "sae_set": "res", "sae_id_suffix": None, "features": part}
        (folder / f"batch-{number}.json").write_text(json.dumps(batch))
    return folder


def _dashboard(number: int) -> dict[str, Any]:
    def piece(low: float, high: float, share: float, peak: float) -> dict[str, Any]:
        values = [0.0, 0.1, peak, 0.0]
        return {
            "bin_min": low,
            "bin_max": high,
            "bin_contains": share,
            "tokens": [" a", " red", " sail", "."],
            "values": values,
        }

    strength = 1 + number / 10
    return {
        "feature_index": number,
        "frac_nonzero": 0.001 * (60 - number),
        "pos_str": [" harbour", " dawn"],
        "pos_values": [1.5, 1.25],
        "neg_str": [" dog"],
        "neg_values": [-0.75],
        "freq_hist_data_bar_values": [0.25, 0.75, 1.25],
        "freq_hist_data_bar_heights": [30, 4, 1],
        "logits_hist_data_bar_values": [-0.5, 0.0, 0.5],
        "logits_hist_data_bar_heights": [5, 40, 6],
        "correlated_features_indices": [(number + 1) % 60],
        "correlated_features_pearson": [0.5],
        "n_prompts_total": 1000,
        "n_tokens_in_prompt": 128,
        "dataset": "someone/some-text",
        "activations": [
            piece(-1, strength, -1, strength),
            piece(0.5, 1.0, 0.1, 0.9),
            piece(0.0, 0.5, 0.9, 0.3),
        ],
    }
