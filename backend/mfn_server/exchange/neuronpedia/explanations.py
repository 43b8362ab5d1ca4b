"""`explanations/batch-N.jsonl.gz`: what features are about, one explanation a line, as Neuronpedia writes them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mfn_core.errors import ConfigError
from mfn_server.schemas import Text

BATCH = 1024  # explanations of a file
LONGEST = 2000  # characters of a description


def _one_line(text: str) -> str:
    return " ".join(text.split())


Line = Annotated[Text, AfterValidator(_one_line)]


class Explanation(BaseModel):
    """One line, under that project's names. `layer` is the id of a source (6-res-jb). What is derived from the text,
    such as its embedding, is passed over.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Text | None = None
    modelId: Text  # noqa: N815
    layer: Text
    index: int = Field(ge=0)
    description: Line = Field(max_length=LONGEST)
    authorId: Text | None = None  # noqa: N815
    typeName: Text | None = None  # noqa: N815
    explanationModelName: Text | None = None  # noqa: N815
    notes: Text | None = None
    createdAt: str | None = None  # noqa: N815

    def line(self) -> str:
        """As JSON, the feature's number as text."""
        body = self.model_dump(exclude_none=True) | {"index": str(self.index)}
        return json.dumps(body, ensure_ascii=False)


def explanation_files(place: Path) -> list[Path]:
    """The file, or the files of a folder. Raises ConfigError where there are none."""
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.iterdir() if path.name.endswith((".jsonl", ".jsonl.gz")))
    if not found:
        raise ConfigError(f"there are no explanations in {place}: no file ends in .jsonl or .jsonl.gz")
    return found


def read_explanations(path: Path) -> Iterator[Explanation]:
    """The explanations of a file, but for those without a word.

    Raises:
        ConfigError: what is wrong, and in which line.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                number += 1
                if line.strip():
                    explanation = Explanation.model_validate_json(line)
                    if explanation.description:
                        yield explanation
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise ConfigError(f"{path}, line {number}: {where}{first['msg'].removeprefix('Value error, ')}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} is damaged after line {number}") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def write_explanations(folder: Path, explanations: Sequence[Explanation]) -> None:
    """Write explanations of one source into a folder that is made here, so many a file."""
    folder.mkdir(parents=True)
    for number, begin in enumerate(range(0, len(explanations), BATCH)):
        text = "".join(each.line() + "\n" for each in explanations[begin : begin + BATCH])
        (folder / f"batch-{number}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
