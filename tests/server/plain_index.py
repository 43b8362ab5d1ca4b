"""An index made the plain way: every code of every token held in memory, then sorted. For tiny models and few texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from mfn_core import MFNModel
from mfn_core.indexing.types import Contexts, CorpusIndex, IndexSettings, LayerIndex

WINDOW = 16


def plain_index(model: MFNModel, texts: list[str], n_top: int = 5) -> CorpusIndex:
    """All layers, top contexts only and one sample in the band of the weakest."""
    documents = [np.array(model.encode_text(text), np.uint32) for text in texts]
    dense = [{layer: codes.dense().numpy() for layer, codes in model.codes(ids.tolist()).items()} for ids in documents]
    n_tokens = sum(len(ids) - 1 for ids in documents)
    return CorpusIndex(
        layers=[_layer(model, layer, documents, [d[layer] for d in dense], n_top) for layer in model.coders],
        documents=documents,
        meta=[{"title": f"text {i}", "tags": [f"tag{i}"]} for i in range(len(texts))],
        n_tokens=n_tokens,
        settings=IndexSettings(n_top=n_top, window=WINDOW, bands=2),
        model_fingerprint=model.fingerprint,
    )


def _layer(model: MFNModel, layer: int, documents: list[np.ndarray], codes: list[np.ndarray], n_top: int) -> LayerIndex:
    f = model.coders[layer].n_features
    z = np.concatenate([code[1:] for code in codes])
    ids = np.concatenate([tokens[1:] for tokens in documents])
    count = (z > 0).sum(0)
    edges = np.geomspace(2**-8, 2**8, 65).astype(np.float32)
    tokens = np.full((f, 3), -1, np.int32)
    shares = np.zeros((f, 3), np.float32)
    rows: list[tuple[int, int, int, int, int, int, int, int, float, list[int], list[float]]] = []
    for feature in range(f):
        fired, times = np.unique(ids[z[:, feature] > 0], return_counts=True)
        order = np.argsort(-times, kind="stable")[:3]
        tokens[feature, : len(order)] = fired[order]
        shares[feature, : len(order)] = times[order] / max(count[feature], 1)
        found = []
        for number, code in enumerate(codes):
            for start in range(0, len(code), WINDOW):
                values = code[start : start + WINDOW, feature].copy()
                if start == 0:
                    values[0] = 0
                if values.max() > 0:
                    found.append((float(values.max()), number, start, values))
        found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
        picked = [(0, 0, rank, entry) for rank, entry in enumerate(found[:n_top])]
        picked += [(1, 0, 0, entry) for entry in found[-1:]]
        for kind, band, rank, (peak_value, number, start, values) in picked:
            where = np.flatnonzero(values)
            peak = int(values.argmax())
            rows.append(
                (feature, kind, band, rank, number, start, len(values), peak, peak_value, where.tolist(), values[where])
            )
    columns = list(zip(*(row[:9] for row in rows), strict=True))
    types = (np.int32, np.uint8, np.uint8, np.int32, np.int32, np.int32, np.uint16, np.int16, np.float32)
    arrays = [np.array(column, dtype) for column, dtype in zip(columns, types, strict=True)]
    contexts = Contexts(
        *arrays,
        offsets=np.cumsum([0, *(len(row[9]) for row in rows)], dtype=np.int64),
        positions=np.concatenate([row[9] for row in rows]).astype(np.uint8),
        values=np.concatenate([row[10] for row in rows]).astype(np.float16),
    )
    half = (np.repeat(np.arange(len(codes)), [len(code) - 1 for code in codes]) % 2).astype(np.bool_)
    firings = np.stack([(z[half] > 0).sum(0), (z[~half] > 0).sum(0)])
    weights = model.coders[layer].W_dec.detach()
    logits = (weights @ model.base.get_output_embeddings().weight.detach().T).numpy()
    cosine = (weights @ weights.T).numpy() - 2 * np.eye(f)
    up, down, near = np.argsort(-logits)[:, :4], np.argsort(logits)[:, :4], np.argsort(-cosine)[:, :3]
    return LayerIndex(
        layer=layer,
        n_features=f,
        firing_count=count.astype(np.int64),
        mean=(z.sum(0) / np.maximum(count, 1)).astype(np.float32),
        maximum=z.max(0).astype(np.float32),
        histogram=np.stack([np.histogram(z[:, j][z[:, j] > 0], edges)[0] for j in range(f)]),
        bin_edges=edges,
        band_edges=np.tile(np.array([0.1, 0.5, 1.0], np.float32), (f, 1)),
        band_count=np.stack([count > 0, 2 * (count > 0)], 1).astype(np.int64),
        contexts=contexts,
        promoted_ids=up.astype(np.int32),
        promoted_logits=np.take_along_axis(logits, up, 1).astype(np.float32),
        suppressed_ids=down.astype(np.int32),
        suppressed_logits=np.take_along_axis(logits, down, 1).astype(np.float32),
        neighbour_ids=near.astype(np.int32),
        neighbour_cos=np.take_along_axis(cosine, near, 1).astype(np.float32),
        top_token_ids=tokens,
        top_token_share=shares,
        # not the true figure, which has a test of its own: from 1 downwards, and of some features not known
        token_r2=np.where(np.arange(f) % 5 < 4, 1 - np.arange(f) / 32, np.nan).astype(np.float32),
        half_firings=firings.min(0),
        token_pairs=f,
        **_sampled(z > 0, np.concatenate([np.append(tokens[2:].astype(np.int64), -1) for tokens in documents])),
    )


def _sampled(fires: np.ndarray, following: np.ndarray) -> dict[str, Any]:
    """What is counted on the sample of tokens, which is all of them. Partners by joint firings alone, not by G²."""
    firings = fires.sum(0).astype(np.int64)
    joint = fires.T.astype(np.int64) @ fires
    np.fill_diagonal(joint, 0)
    near = np.argsort(-joint, 1, kind="stable")[:, :3]
    together = np.take_along_axis(joint, near, 1)
    together[::4, 2] = 0  # lists of different lengths
    ids = np.full((len(firings), 3), -1, np.int32)
    shares = np.zeros((len(firings), 3), np.float32)
    for feature in range(len(firings)):
        tokens, times = np.unique(following[fires[:, feature] & (following >= 0)], return_counts=True)
        order = np.argsort(-times, kind="stable")[:3]
        ids[feature, : len(order)] = tokens[order]
        shares[feature, : len(order)] = times[order] / firings[feature]
    return {
        "cofiring_ids": np.where(together > 0, near, -1).astype(np.int32),
        "cofiring_lift": (together * len(fires) / np.maximum(firings[:, None] * firings[near], 1)).astype(np.float32),
        "cofiring_joint": together,
        "next_token_ids": ids,
        "next_token_share": shares,
        "sampled_firings": firings,
        "sampled_tokens": len(fires),
    }
