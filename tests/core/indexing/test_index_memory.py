"""Memory does not grow with the corpus: peaks of processes that index one and eight times the text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = 6_000
FACTOR = 8
BOUND_MIB = 12
"""How much more eight times the text may take. Held in memory, these documents and what comes with them take 30 MiB."""

SCRIPT = """
import functools, resource, sys
import torch
from mfn_core import MFNModel
from mfn_core.data.corpus import Document
from mfn_core.indexing import IndexSettings, build_index, ladder

# what gathers before it is sorted in is bounded, too, but so wide that a small corpus would not fill it
ladder.TokenTally = functools.partial(ladder.TokenTally, buffer=1 << 16)
torch.set_num_threads(1)
model = MFNModel.from_pretrained(sys.argv[1])
n = int(sys.argv[2])
settings = IndexSettings(window=8, seq_len=16, batch_rows=64, max_sample_firings=10_000, shard_tokens=20_000)
documents = (Document(f"No {i % 97}!", {"title": f"text {i}", "number": i}) for i in range(n))
index = build_index(model, documents, settings)
assert len(index.documents) == len(index.meta) == n
assert index.meta[n - 1]["number"] == n - 1
print(index.n_tokens, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(bundle: Path, documents: int) -> tuple[int, float]:
    """Tokens, and the peak of the process in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(bundle), str(documents)], capture_output=True, text=True, check=True
    )
    tokens, kib = map(int, done.stdout.split())
    return tokens, kib / 1024


@pytest.mark.slow
def test_eight_times_the_text_takes_no_more_memory(tiny_bundle: Path) -> None:
    tokens, once = peak(tiny_bundle, DOCUMENTS)
    more_tokens, often = peak(tiny_bundle, FACTOR * DOCUMENTS)
    print(f"peak {once:.0f} MiB at {tokens:,} tokens, {often:.0f} MiB at {more_tokens:,}")
    assert more_tokens > (FACTOR - 1) * tokens
    assert often - once < BOUND_MIB
