"""Effects of interventions, to be read: tables in a notebook, plain text in a terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from math import exp
from typing import Any

from transformers import PreTrainedTokenizerBase

from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.reading import markup
from mfn_core.reading.units import Tokens
from mfn_core.steering.prediction import predict
from mfn_core.steering.results import Agreement, DosePoint, Method, PredictionReport, Sweep, TokenChange
from mfn_core.steering.spots import Spot, Trial
from mfn_core.steering.sweep import dose_response
from mfn_core.steering.sweet_spot import SpotOrder, search_spot
from mfn_core.writing import Writing

Rows = Sequence[Sequence[str]]
_CHANGES = "Changes of the logit, less the mean over the vocabulary."
_METHODS: dict[Method, str] = {"first_order": "First order", "path": "The path", "secant": "Secants"}
_LEFT_OUT: dict[Method, str] = {
    "first_order": "First order holds the features that fire later on: where many of them are replaced, expect it to "
    "be off.",
    "path": "The path sees features that fire later on come and go, but not what is lost and won at that moment.",
    "secant": "Secants choose the features that fire later on anew; between layers of features they are first order.",
}
_LENS = "The lens lets nothing between the layer and the output react."


@dataclass(frozen=True)
class _Table:
    """A titled table that is HTML or text. Cells are plain text; the first `left` columns lean left, and one called
    "text"."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Rows
    left: int = 1
    chips: int = 0  # the first columns that are tokens

    def leans_left(self, number: int) -> bool:
        return number < self.left or self.columns[number] == "text"

    def html(self) -> str:
        align = [(name, "left" if self.leans_left(number) else "right") for number, name in enumerate(self.columns)]
        cells = [
            [markup.chip(cell) if number < self.chips else escape(cell) for number, cell in enumerate(row)]
            for row in self.rows
        ]
        return markup.heading(self.title, self.note) + markup.table(align, cells)

    def text(self) -> str:
        shown = [[markup.visible(cell) for cell in row] for row in (self.columns, *self.rows)]
        widths = [max(len(row[number]) for row in shown) for number in range(len(self.columns))]
        lines = [f"{self.title}  {self.note}".rstrip()]
        for row in shown:
            cells = [
                cell.ljust(width) if self.leans_left(number) else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


class _Read(ABC):
    """Shows its tables and a last line."""

    @abstractmethod
    def tables(self) -> list[_Table]:
        """What it shows."""

    @abstractmethod
    def closing(self) -> str:
        """What to know of it."""

    def __repr__(self) -> str:
        return "\n\n".join([table.text() for table in self.tables()] + [self.closing()])

    def _repr_html_(self) -> str:
        return markup.frame(*(table.html() for table in self.tables()), markup.note(self.closing()))


@dataclass(frozen=True, repr=False)
class Effect(_Read):
    """What interventions were predicted to do to the next token of a text, and what they did.

    Attributes:
        found: the numbers.
        tokenizer: that spells the tokens; None for ids alone.
    """

    found: PredictionReport
    tokenizer: PreTrainedTokenizerBase | None = field(repr=False)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row a token, keyed as `TokenChange` names it, with its text: of those predicted to rise or fall most, those
        that gained most, and those asked for."""
        rows = {c.token: c for part in self._parts().values() for c in part}
        return [{"text": text, **asdict(row)} for text, row in zip(self._spelled(rows), rows.values(), strict=True)]

    def tables(self) -> list[_Table]:
        """Tokens, then other features."""
        columns = ("token", "predicted", "lens", "measured", "plain %", "steered %")
        tables = [
            _Table(name, "", columns, [self._row(change) for change in changes], chips=1)
            for name, changes in self._parts().items()
            if changes
        ]
        effects = self.found.side_effects
        if effects.strongest:
            rows = [
                (f"{e.layer}/{e.feature}", f"{e.before:.2f}", f"{e.after:.2f}", f"{e.fired_before} → {e.fired_after}")
                for e in effects.strongest
            ]
            positions = effects.strongest[0].positions
            note = f"{effects.changed} changed, over {positions} {'token' if positions == 1 else 'tokens'}"
            tables.append(_Table("Other features", note, ("feature", "before", "after", "tokens it fires on"), rows))
        return tables

    def closing(self) -> str:
        """How well prediction and measurement agree, and why not better."""
        replaced = "; ".join(f"layer {t.layer} {t.replaced:.0%}" for t in self.found.side_effects.turnover)
        lines = [
            f"{_METHODS[self.found.method]} against measured: {_agreement(self.found.agreement)}.",
            f"The lens against measured: {_agreement(self.found.lens_agreement)}.",
            f"KL {self.found.kl:.3g} nats.",
        ]
        if replaced:
            lines.append(f"Other features replaced: {replaced}.")
        return " ".join([*lines, _CHANGES, _LEFT_OUT[self.found.method], _LENS])

    def _parts(self) -> dict[str, Sequence[TokenChange]]:
        found = self.found
        return {
            "Predicted to rise most": found.raised,
            "Predicted to fall most": found.lowered,
            "Gained most probability": found.gained,
            "Asked for": found.followed,
        }

    def _spelled(self, ids: Sequence[int] | dict[int, TokenChange]) -> list[str]:
        return list(Tokens.of(list(ids), self.tokenizer))

    def _row(self, change: TokenChange) -> tuple[str, ...]:
        (text,) = self._spelled([change.token])
        changes = (f"{value:+.2f}" for value in (change.predicted, change.lens, change.measured))
        return (text, *changes, _percent(change.logprob), _percent(change.steered_logprob))


@dataclass(frozen=True, repr=False)
class DoseResponse(_Read):
    """What comes of some doses.

    Attributes:
        found: the numbers.
        tokenizer: that spells the tokens; None for ids alone.
    """

    found: Sweep
    tokenizer: PreTrainedTokenizerBase | None = field(repr=False)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row a dose."""
        spelled = list(Tokens.of(list(self.found.tokens), self.tokenizer))
        return [
            {
                "dose": point.dose,
                **{f"logprob {text}": value for text, value in zip(spelled, point.logprobs, strict=True)},
                "kl": point.kl,
                "spearman": point.agreement.spearman,
                "slope": point.agreement.slope,
                "perplexity": point.written and point.written.perplexity,
                "repetition": point.written and point.written.repetition,
                "text": point.written and point.written.texts[0],
            }
            for point in self.found.points
        ]

    def tables(self) -> list[_Table]:
        """A row a dose."""
        found = self.found
        spelled = Tokens.of(list(found.tokens), self.tokenizer)
        columns = ("dose", *(f"{text} %" for text in spelled), "KL", "first order ρ")
        rows = [self._row(point) for point in found.points]
        plain = ["none", *map(_percent, found.plain_logprobs), "0", ""]
        if found.plain_written is not None:
            columns += ("perplexity", "repeats", "text")
            plain += [_number(found.plain_written.perplexity), f"{found.plain_written.repetition:.0%}"]
            plain.append(_short(found.plain_written.texts[0]))
        what = "factor of every value" if found.swept is None else f"value of intervention {found.swept + 1}"
        return [_Table("Dose and response", f"dose: {what}", columns, [plain, *rows], left=0)]

    def closing(self) -> str:
        """What the columns are."""
        return (
            "Chances of the next token; KL of steered against plain, in nats; rank correlation of what first order "
            "predicts with what came; perplexity of the text under the plain model; runs of three tokens had before."
        )

    def _row(self, point: DosePoint) -> list[str]:
        rho = point.agreement.spearman
        row = [
            f"{point.dose:g}",
            *map(_percent, point.logprobs),
            f"{point.kl:.3g}",
            "" if rho is None else f"{rho:.2f}",
        ]
        if point.written is not None:
            row += [_number(point.written.perplexity), f"{point.written.repetition:.0%}"]
            row.append(_short(point.written.texts[0]))
        return row


@dataclass(frozen=True, repr=False)
class SweetSpot(_Read):
    """What a search for a good strength found.

    Attributes:
        found: the numbers.
    """

    found: Spot

    def to_dicts(self) -> list[dict[str, Any]]:
        """A row for all that was tried."""
        return [{**asdict(trial), "frontier": trial in self.found.frontier} for trial in self.found.trials]

    def tables(self) -> list[_Table]:
        """All that was tried; the best is marked ●, what nothing else beats ○."""
        rows = [self._row(trial) for trial in self.found.trials]
        columns = ("", "dose", "temperature", "concept", "perplexity ×", "repeats", "text")
        return [_Table("A good strength", f"optimised: {self.found.optimised}", columns, rows)]

    def closing(self) -> str:
        """The best, and what became of it with other noise."""
        best, checked = self.found.best, self.found.checked
        if best is None:
            return "Nothing within the budget brings more of the concept than plain text has."
        line = f"Best: dose {best.dose:g} at temperature {best.temperature:g}: concept {best.concept:.2f}"
        line += f" at {best.ratio:.2f} times the perplexity of plain text."
        if checked is not None and checked.ratio is not None:
            line += f" With other noise: concept {checked.concept:.2f} at {checked.ratio:.2f} times."
        return line

    def _row(self, trial: Trial) -> tuple[str, ...]:
        mark = "●" if trial == self.found.best else "○" if trial in self.found.frontier else ""
        ratio = "" if trial.ratio is None else f"{trial.ratio:.2f}{'' if trial.affordable else ' too much'}"
        return (
            mark,
            f"{trial.dose:g}",
            f"{trial.temperature:g}",
            f"{trial.concept:.2f}",
            ratio,
            f"{trial.repetition:.0%}",
            _short(trial.example),
        )


def effect(
    model: MFNModel,
    text: str,
    interventions: Sequence[Intervention],
    position: int = -1,
    n: int = 10,
    tokens: Sequence[int] = (),
    method: Method = "first_order",
) -> Effect:
    """Predicts and measures what interventions do to the next token; see `mfn_core.steering.predict`.

    Args:
        model: with a tokenizer.
        text: all of it the prompt.
        interventions: in the order in which they act.
        position: of the token after which the next one is looked at.
        n: how many tokens of each kind, and other features, to show.
        tokens: ids to be shown, too.
        method: how it is predicted.
    """
    found = predict(model, model.encode_text(text), interventions, position, n, method)
    return Effect(found.report(n, tokens), model.tokenizer)


def sweep(
    model: MFNModel,
    prompt: str,
    interventions: Sequence[Intervention],
    doses: Sequence[float] | None = None,
    writing: Writing | None = None,
    **options: Any,
) -> DoseResponse:
    """Runs a prompt at several doses; see `mfn_core.steering.dose_response`, which has the further options."""
    return DoseResponse(dose_response(model, prompt, interventions, doses, writing=writing, **options), model.tokenizer)


def sweet_spot(model: MFNModel, order: SpotOrder) -> SweetSpot:
    """Searches a good strength; see `mfn_core.steering.search_spot`."""
    return SweetSpot(search_spot(model, order))


def _agreement(found: Agreement) -> str:
    if found.spearman is None or found.slope is None:
        return "nothing changed"
    return (
        f"ρ {found.spearman:.2f}, slope {found.slope:.2f}, {found.overlap_raised:.0%} of the top {found.top} the same"
    )


def _percent(logprob: float) -> str:
    return f"{100 * exp(logprob):.3g}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _short(text: str) -> str:
    return text if len(text) <= 48 else text[:47] + "…"
