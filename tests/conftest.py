"""Fixtures that all tests share: a tiny model with an untrained code in every block, and the app that serves it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mfn_core import MFNConfig, MFNLayerConfig, MFNModel
from mfn_core.data.tokenizer import fit_tokenizer

TINY_TEXTS = [
    "The hospital was quiet that night. A doctor walked past the empty beds and wrote a note for the morning.",
    "She said “don't wait for me” and closed the door. The café on the corner had closed an hour before.",
    "東京都の夜は静かでした。 Über den Dächern von Köln lag Schnee.",
    "def area(radius):\n    return 3.14159 * radius ** 2\n",
    '{"name": "Ada", "year": 1815, "tags": ["poet", "engine"]}',
    "The ship left the harbour at dawn, and the harbour was quiet again. Nobody on the ship looked back.",
    "Snow fell on the hills, on the road, on the roofs; the snow fell all night and the night was white.",
    "Take two eggs, a cup of flour and a little salt. Mix the flour and the eggs, then add the salt.",
]
TINY_CONTEXT = 96

TESTS = Path(__file__).parent
LONG = (
    "browser/test_steer_writing.py",
    "browser/test_steer_links.py",
    "browser/test_every_page.py",
    "browser/test_people.py",
    "browser/test_pages.py",
    "server/test_features.py",
    "server/test_cli.py",
    "server/worker/test_worker.py",
    "server/steering/test_load.py",
    "server/test_index_resuming.py",
    "server/together/test_together.py",
    "server/operating/test_process.py",
    "repo/test_wheel.py",
    "repo/test_demo.py",
)
"""Files that take long, though their number of tests does not tell it: servers, commands, models that are loaded."""

BROWSER_LIMIT, LIMIT, SLOW_LIMIT = 300, 900, 7_200
"""Seconds after which a test is given up, with the stacks of all threads: far more than any takes, so that one that
hangs fails and the others go on. Some of Playwright's calls, such as `page.evaluate`, wait for ever."""


def pytest_configure(config: pytest.Config) -> None:
    """What is run again is told with why. Without pytest-rerunfailures nothing is, and the tests run all the same."""
    config.option.rerun_show_tracebacks = True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Several processes are given file after file in this order (`make test`).

    Browser tests come first and together, since a process that leaves them ends the browser and the server that they
    share. Among them, and among the others, long files come first, then those with most tests, so that no process is
    left with a long one when the others are done.
    """
    tests = Counter(item.path for item in items)
    long = {name: -len(items) - len(LONG) + place for place, name in enumerate(LONG)}

    def place(item: pytest.Item) -> tuple[bool, int, str]:
        name = item.path.relative_to(TESTS).as_posix()
        return not name.startswith("browser/"), long.get(name, -tests[item.path]), name

    items.sort(key=place)
    if items and items[0].config.pluginmanager.hasplugin("timeout"):  # without pytest-timeout they run all the same
        for item in items:
            item.add_marker(pytest.mark.timeout(_limit(item)))


def _limit(item: pytest.Item) -> int:
    if item.get_closest_marker("slow") or item.get_closest_marker("interop"):
        return SLOW_LIMIT
    return BROWSER_LIMIT if item.path.is_relative_to(TESTS / "browser") else LIMIT


@pytest.fixture(scope="session", autouse=True)
def no_umap() -> None:
    """Compiling it takes longer than most tests; those that are about it ask for it."""
    os.environ["MFN_MAP"] = "pca"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tests run beside each other, and beside other work."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle: a random Llama of two blocks, 48 features in each, a byte-level vocabulary of 300."""
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=TINY_CONTEXT,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    base = LlamaForCausalLM(config).eval()
    layer = MFNLayerConfig(n_features=48, k=6)
    model = MFNModel.equip(base, MFNConfig.uniform(2, layer), fit_tokenizer(TINY_TEXTS, 300))
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    model.save_pretrained(folder)
    (folder / "card.json").write_text('{"name": "tiny", "description": "Random weights.", "layers": []}')
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_bundle: Path) -> MFNModel:
    """The bundle's model. Share it for reading alone."""
    return MFNModel.from_pretrained(tiny_bundle)
