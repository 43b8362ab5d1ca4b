"""What an import did, or would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from pydantic import Field

from mfn_server.schemas import Schema

SHOWN = 20
"""Of so many lines of a kind it is told where they are; the others are counted."""

Why = Literal[
    "decided_here",
    "program_spoke_here",
    "changes_what_was_said_here",
    "campaign_open_here",
    "hidden_from_you",
    "no_label_of_a_person",
    "rests_on_left_out",
]

REASONS: dict[Why, str] = {
    "decided_here": "decisions on features on which somebody here has decided",
    "program_spoke_here": "words of programs that have spoken of the feature here, too; the last one stands alone",
    "changes_what_was_said_here": "would take back or change what somebody else said here",
    "campaign_open_here": "opinions in a campaign that is open here; they are given in its queue",
    "hidden_from_you": "on features that you have yet to judge blindly in a campaign",
    "no_label_of_a_person": "rows of a table that are no label of a person; a .jsonl file brings those in, too",
    "rests_on_left_out": "about something that is left out itself",
}


class LeftOut(Schema):
    """Events that are not taken in, by a rule. The same file again leaves them out again."""

    why: Why
    message: str
    events: int
    lines: list[int] = Field(description="Where the first of them are.")


class Problem(Schema):
    """A line that cannot be taken in. With one, nothing is."""

    line: int
    message: str
    hint: str


class PersonOfFile(Schema):
    """Somebody of the file, and who they are here."""

    id: str
    name: str
    becomes: str
    becomes_name: str
    events: int


class ImportReport(Schema):
    """What an import did or, in a dry run or where there is a problem, would have done: then nothing has changed."""

    dry_run: bool
    taken_in: bool = Field(description="Whether the database has it now.")
    format: str
    model: str
    origin: UUID | None = Field(description="The database that the file is from.")
    events: int = Field(description="Events on features in the file.")
    new: int
    already_here: int
    features: int = Field(description="Features on which something new is said.")
    kinds: dict[str, int] = Field(description="New events by kind.")
    collection_events: int
    new_collection_events: int
    left_out: list[LeftOut]
    people: list[PersonOfFile]
    n_problems: int
    problems: list[Problem] = Field(description=f"The first {SHOWN} of them.")


@dataclass
class Tally:
    """Counts while a file is read."""

    events: int = 0
    new: int = 0
    already: int = 0
    collection_events: int = 0
    new_collection_events: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: dict[Why, list[int]] = field(default_factory=dict)
    n_left_out: Counter[Why] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    n_problems: int = 0

    def leave_out(self, line: int, why: Why) -> None:
        """An event is not taken in."""
        self.n_left_out[why] += 1
        lines = self.left_out.setdefault(why, [])
        if len(lines) < SHOWN:
            lines.append(line)

    def problem(self, line: int, message: str, hint: str) -> None:
        """A line cannot be taken in."""
        self.n_problems += 1
        if len(self.problems) < SHOWN:
            self.problems.append(Problem(line=line, message=message, hint=hint))
