"""The text of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mfn_core.training.config.checks import require, require_positive


@dataclass(frozen=True)
class SourceConfig:
    """One part of the text.

    Attributes:
        share: of the training tokens, relative to the other sources' shares.
        train, valid: corpora as `read_corpus` takes them; relative paths start at the data folder, those that begin
            with `./` or `../` where the program was called. The source `structured` is generated and needs neither.
        about: what it is, where it comes from, its licence; for the model card.
    """

    share: float
    train: str = ""
    valid: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        require(self.share > 0, f"a source's share must be positive, not {self.share}")


@dataclass(frozen=True)
class DataConfig:
    """The mix of texts.

    Attributes:
        sources: by name.
        seed: fixes vocabulary, held-out text and which texts are drawn, so that runs of several seeds have these in
            common and differ in their first weights and in the order of their rows. −1: the run's own seed does.
        max_document: characters of a document that are used; longer ones are cut there.
        tokenizer_characters: how much of the mix the vocabulary is fitted to.
        valid_tokens: how much text held-out numbers are measured on.
        stream: whether training text is read, tokenised and packed while the run goes on, each source in its own order,
            instead of before it. For text that is too large to hold.
        deduplicate: whether texts that repeat others, held-out ones first, are left out. A stream does not do it: what
            it has seen would grow without bound.
        buffer: rows among which a stream's next row is chosen.
    """

    sources: Mapping[str, SourceConfig] = field(default_factory=dict)
    seed: int = -1
    max_document: int = 6000
    tokenizer_characters: int = 20_000_000
    valid_tokens: int = 200_000
    deduplicate: bool = True
    stream: bool = False
    buffer: int = 2048

    def __post_init__(self) -> None:
        require(self.seed >= -1, f"data.seed must be a seed, from 0 on, or -1 for the run's own, not {self.seed}")
        require_positive(self, "max_document", "tokenizer_characters", "valid_tokens", "buffer")
