"""The tutorial runs from its first cell to its last, in a kernel of its own, and shows what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.ipynb"))
TUTORIAL = ROOT / "docs" / "tutorial" / "first-steps.ipynb"

# In a process of its own: nbclient leaves sockets to the garbage collector, which here would be an error. The kernel
# is reached by files, not by ports.
EXECUTE = """
import sys, nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip="./k")
NotebookClient(notebook, km=kernel, timeout=300).execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_notebooks_are_kept_without_what_running_leaves(page: Path) -> None:
    data = json.loads(page.read_text(encoding="utf-8"))
    nbformat.validate(data)
    assert page.read_text(encoding="utf-8") == json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    assert set(data["metadata"]) == {"kernelspec", "language_info"}
    for cell in data["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_notebooks_lead_somewhere(page: Path) -> None:
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "markdown":
            for target in re.findall(r"\]\(([^)\s#]+)", "".join(cell["source"])):
                if "://" not in target:
                    assert (page.parent / target).exists(), target


def test_the_calls_of_the_notebook_page_work(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "how-to" / "notebook.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 6
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "notebook.md", "exec"), names)
    assert names["logits"].shape == (4, names["model"].vocab_size)
    assert names["codes"].at(5)[0].position == 5  # what the comments say of the calls
    assert (
        names["model"].top_features("The ship left").to_dicts()
        == names["model"].codes("The ship left").top(10).to_dicts()
    )


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each code cell of the tutorial shows, by the cell's id."""
    folder = tmp_path_factory.mktemp("kernel")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(folder / "ipython")}
    command = [sys.executable, "-c", EXECUTE, str(TUTORIAL), str(folder / "run.ipynb")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(folder / "run.ipynb", as_version=4)
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def shown(outputs: list[Any], kind: str) -> str:
    """All that a cell shows of one kind of data."""
    return "".join(output.data.get(kind, "") for output in outputs if "data" in output)


@pytest.mark.slow
def test_nothing_is_complained_of(outputs: dict[str, list[Any]]) -> None:
    for cell, shows in outputs.items():
        noise = [output.text for output in shows if output.get("name") == "stderr"]
        assert not noise, f"{cell}: {noise}"


@pytest.mark.slow
def test_texts_tables_and_features_are_shown_as_html(outputs: dict[str, list[Any]]) -> None:
    for cell in ("codes", "codes-values", "find", "look", "compare", "tiny-codes"):
        assert shown(outputs[cell], "text/html").startswith('<div class="mfn '), cell
    assert "application/vnd.plotly.v1+json" in outputs["plot"][0].data


@pytest.mark.slow
def test_what_it_says_comes_true(outputs: dict[str, list[Any]]) -> None:
    found = shown(outputs["find"], "text/plain")
    share = re.search(r"fires on (\d+)%", found)
    assert share is not None
    assert int(share[1]) > 50
    assert "The two texts are the same" not in shown(outputs["compare"], "text/html")
    curve = outputs["plot"][0].data["application/vnd.plotly.v1+json"]["data"][0]["y"]
    assert max(curve) > 10 * curve[0]
    assert shown(outputs["equip"], "text/plain") == "True"
    learnt = re.search(r"([\d.]+) → ([\d.]+) nats, FVU ([\d.]+) → ([\d.]+)", outputs["train"][0].text)
    assert learnt is not None
    first, last, fvu_first, fvu_last = map(float, learnt.groups())
    assert last < first - 1
    assert fvu_last < fvu_first / 2
