"""SAEBench's core metrics and ours, of the codes of a model.

    python -m scripts.saebench MODEL TEXT --python PYTHON [--tokens N] [--json FILE]

MODEL is a Llama with SAEs or layers of features; each is exported as a SAELens folder, and what is measured on either
side is that folder put beside the bare Transformer, spliced into it without an error term. PYTHON is one that has
sae-bench; tests/interop/test_saebench.py says how to make it. Exits with 1 where they differ by more than 1 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from mfn_core.baselines import attach, load_saelens, save_saelens
from mfn_core.data.corpus import read_corpus
from mfn_core.errors import MFNError
from mfn_core.evaluation.text_costs import windows
from mfn_core.evidence.document import Check, Column, Document, Table
from mfn_core.model import MFNModel
from mfn_core.provenance import provenance
from scripts.saebench.ours import Found, measure

SIDE = Path(__file__).with_name("theirs.py")
WITHIN = 0.01
OWN_FORMULA = "explained_variance"  # which is another here than there
THEIR_FORMULA = "explained_variance_0_6_0"  # ours of what they call explained_variance


def compare(model: MFNModel, rows: torch.Tensor, python: Path, folder: Path) -> tuple[list[dict[str, Any]], Any]:
    """Both sides, metric by metric.

    Args:
        model: a Llama with codes, none of which has a token lookup (no SAELens folder can say it); layers that have are
            left out.
        rows: int64 [n, T].
        python: one that has sae-bench.
        folder: an empty one, for what goes between the two.

    Returns:
        Rows `{layer, metric, ours, theirs, difference, shared}`, and the versions of their packages.

    Raises:
        MFNError: no layer can be exported, or their side failed.
    """
    start = model.bos_token_id
    ignore = set() if start is None else {start}
    layers = [n for n, coder in model.coders.items() if not getattr(coder.config, "token_lookup", False)]
    if not layers:
        raise MFNError("every layer of this model looks tokens up, which a SAELens folder cannot say")
    model.base.config.save_pretrained(folder / "base")
    plain = AutoModelForCausalLM.from_config(model.base.config)  # type: ignore[no-untyped-call]
    state = model.base.state_dict()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    plain.save_pretrained(folder / "base")
    np.save(folder / "tokens.npy", rows.numpy())
    (folder / "asked.json").write_text(json.dumps({"ignore": sorted(ignore)}))
    for number in layers:
        save_saelens(model.coders[number], folder / "saes" / str(number), context_size=rows.shape[1])
    theirs = _theirs(python, folder)
    watched = attach(plain.eval(), [load_saelens(folder / "saes" / str(number)) for number in layers])
    found = []
    for number in layers:
        ours = measure(watched, number, rows, ignore)
        found += list(_side_by_side(number, ours, theirs["found"][str(number)]))
    return found, theirs["versions"]


def _theirs(python: Path, folder: Path) -> Any:
    done = subprocess.run(  # noqa: S603
        [str(python), str(SIDE), str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise MFNError(f"sae-bench failed under {python}: {last}")
    return json.loads((folder / "theirs.json").read_text())


def _side_by_side(layer: int, ours: Found, theirs: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, mine in ours.items():
        other = theirs[OWN_FORMULA if name == THEIR_FORMULA else name]
        row = {"layer": layer, "metric": name, "difference": _difference(mine, other)}
        row |= {"shared": name != OWN_FORMULA, "ours": _mean(mine), "theirs": _mean(other)}
        rows.append(row)
    return rows


def _difference(mine: Any, other: Any) -> float:
    """Σ|a − b| / Σ|b|: over the features where there is a value for each."""
    a, b = np.atleast_1d(np.asarray(mine, dtype=float)), np.atleast_1d(np.asarray(other, dtype=float))
    return float(np.abs(a - b).sum() / np.abs(b).sum())


def _mean(value: Any) -> float:
    return float(np.mean(value))


def document(name: str, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], versions: Any) -> Document:
    """What was found, for the Evidence page."""
    shared = [row for row in rows if row["shared"]]
    worst = max(shared, key=lambda row: row["difference"])
    told = f"{worst['difference']:.4%} at most, of {worst['metric']} in block {worst['layer']}"
    columns = [
        Column("layer", "Block"),
        Column("metric", "Metric", "text"),
        Column("ours", "Here"),
        Column("theirs", "SAEBench"),
        Column("difference", "Difference", "share"),
    ]
    return Document(
        "interop",
        f"saebench-{name}",
        f"SAEBench's core metrics of {name}",
        f"On the same exported codes and tokens, {len({row['metric'] for row in shared})} metrics differ by {told}.",
        dict(settings),
        provenance() | {"their_versions": versions},
        checks=[
            Check("Shared metrics agree within 1 %", "holds" if worst["difference"] <= WITHIN else "fails", told),
        ],
        tables=[
            Table(
                "shared",
                "Shared metrics",
                columns,
                shared,
                "Of metrics by feature the mean, and the difference Σ|a − b| / Σ|b| over features.",
            ),
            Table(
                "formulas",
                "Where the formulas differ",
                columns,
                [row for row in rows if not row["shared"]],
                "explained_variance of sae-bench 0.6.0 subtracts squared mean squares where squared means belong; by "
                "that formula (explained_variance_0_6_0 above) both sides agree. Here it is the share of the variance "
                "that is not left over.",
            ),
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares, prints, and gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.saebench", description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("text")
    parser.add_argument("--python", type=Path, required=True, help="a Python that has sae-bench")
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--json", type=Path, help="write an evidence document")
    asked = parser.parse_args(arguments)
    model = MFNModel.from_pretrained(asked.model)
    rows = _rows(model, asked.text, asked.tokens)
    with tempfile.TemporaryDirectory() as folder:
        found, versions = compare(model, rows, asked.python, Path(folder))
    for row in found:
        numbers = f"{row['ours']:>12.6g} {row['theirs']:>12.6g} {row['difference']:>9.4%}"
        print(f"{row['layer']:>2}  {row['metric']:<30} {numbers}", "" if row["shared"] else "another formula")
    settings = {"model": model.fingerprint, "tokens": rows.numel(), "rows": list(rows.shape)}
    made = document(asked.model.resolve().parent.name, found, settings, versions)
    print(made.summary)
    if asked.json:
        made.write(asked.json)
    return 0 if made.checks[0].status == "holds" else 1


def _rows(model: MFNModel, text: str, tokens: int) -> torch.Tensor:
    """Whole windows of a corpus, about so many tokens."""
    found: list[Any] = []
    for each in read_corpus(text):
        ids = model.required_tokenizer.encode(each.text, add_special_tokens=False)
        found += [row for row in windows(ids, model.bos_token_id, model.max_context) if len(row) == model.max_context]
        if len(found) * model.max_context >= tokens:
            break
    if not found:
        raise MFNError(f"{text} has no text as long as {model.max_context} tokens")
    return torch.from_numpy(np.stack(found[: max(1, tokens // model.max_context)]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MFNError as error:
        sys.exit(str(error))
