"""What the weights say of every feature: how long it takes to work out and to keep, and how much room it takes.

On the demo model, without UMAP (which is optional, and of which most is umap-learn's own time). Beside each part that
compares features stands the bare float32 matmul of the same products, in blocks that are forgotten: what it costs above
that is finding the largest and the smallest, and weighing these anew in float64.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import torch
from sqlalchemy import Select, column, func, select, text
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Metric, Result, seconds
from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.directions import written
from mfn_core.indexing.from_weights import describe_weights
from mfn_core.indexing.from_weights.extremes import CHUNK
from mfn_server.db.index_lock import index_lock
from mfn_server.db.migrate import open_database
from mfn_server.db.tables import FeatureWeights, SourceWeights
from mfn_server.model_facts import ModelFacts
from mfn_server.weights.command import sources_by_layer
from mfn_server.weights.record import WeightRecord, kept_settings, record_of
from mfn_server.weights.store import store_weights

DEMO = Path(__file__).resolve().parents[1] / "demo" / "model"
PARTS = ("logits", "neighbours", "connections", "map")


def run(quick: bool) -> Result:
    """Works it out and keeps it, several times over; the medians. A quick run takes a small random model, once."""
    model = _small() if quick else MFNModel.from_pretrained(DEMO)
    runs = 1 if quick else 3
    n_features = sum(model.n_features.values())
    parts: dict[str, list[float]] = {part: [] for part in (*PARTS, "all", "processor", "matmul", "store")}
    settings = kept_settings("pca")
    n_bytes = 0.0
    for _ in range(runs):
        clock = _Clock()
        began, busy = time.perf_counter(), time.process_time()
        record = record_of(describe_weights(model, settings, clock), settings)
        parts["all"].append(time.perf_counter() - began)
        parts["processor"].append(time.process_time() - busy)
        for part, took in clock.parts().items():
            parts[part].append(took)
        parts["matmul"].append(_bare(model))
        took, n_bytes = _kept(model, record)
        parts["store"].append(took)
    middle = {part: sorted(times)[len(times) // 2] for part, times in parts.items()}
    metrics = {
        "facts": Metric(middle["all"], "s"),
        "facts_processor": Metric(middle["processor"], "s"),
        "facts_speed": Metric(n_features / middle["all"], "features/s", better="higher"),
        **{part: Metric(middle[part], "s") for part in PARTS},
        "neighbours_matmul_alone": Metric(middle["matmul"], "s"),
        "store": Metric(middle["store"], "s"),
        "store_speed": Metric(n_features / middle["store"], "features/s", better="higher"),
        "bytes_per_feature": Metric(n_bytes / n_features, "bytes"),
    }
    return Result(
        metrics,
        {"model": "random" if quick else "demo", "features": n_features, "d": model.d_model, "V": model.vocab_size},
    )


class _Clock:
    """When each part of `describe_weights` was last heard of."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.ends: dict[str, float] = {}

    def __call__(self, part: str, done: int, total: int) -> None:
        self.ends[part] = time.perf_counter()

    def parts(self) -> dict[str, float]:
        """Seconds of each, one after the other."""
        ends = [self.began, *self.ends.values()]
        return dict(zip(self.ends, (b - a for a, b in pairwise(ends)), strict=True))


@torch.inference_mode()
def _bare(model: MFNModel) -> float:
    every = torch.cat([written(model, layer).float() for layer in sorted(model.coders)])

    def products() -> Tensor:
        last = every
        for rows in torch.split(every, max(1, CHUNK // len(every))):
            last = rows @ every.t()
        return last

    return seconds(products)


def _kept(model: MFNModel, record: WeightRecord) -> tuple[float, float]:
    """Seconds, and bytes of the tables in an SQLite file."""
    names = [table.__tablename__ for table in (FeatureWeights, SourceWeights)]
    size: Select[tuple[int]] = (
        select(func.sum(column("pgsize"))).select_from(text("dbstat")).where(column("name").in_(names))
    )
    with tempfile.TemporaryDirectory() as folder, closing(open_database(f"sqlite:///{folder}/a.sqlite3")) as database:
        with index_lock(database):
            sources = sources_by_layer(database, ModelFacts.of(model, DEMO))
            took = seconds(lambda: store_weights(database, sources, record, lambda phase, share: None))
        with database.read() as connection:
            return took, float(connection.scalar(size) or 0)


def _small() -> MFNModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    return MFNModel.equip(LlamaForCausalLM(config), MFNConfig.uniform(2, MFNLayerConfig(n_features=256, k=8)))
