"""Bodies of the effect routes."""

from __future__ import annotations

from typing import Annotated, Literal

import regex
from pydantic import Field, model_validator

from mfn_core.steering.results import Method
from mfn_server.intervention_bodies import LARGEST_VALUE, MOST_INTERVENTIONS, InterventionBody
from mfn_server.schemas import PromptText, Schema, Text, Token

MOST_TOKENS = 32
MOST_WRITTEN = 4096  # tokens at one dose, of all prompts and samples
LONGEST_PATTERN = 400

Prompt = Annotated[PromptText, Field(description="May be empty: the text then begins here.")]
Interventions = Annotated[list[InterventionBody], Field(min_length=1, max_length=MOST_INTERVENTIONS)]
Dose = Annotated[float, Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)]
TokenName = Annotated[
    int | Annotated[Text, Field(max_length=200)],
    Field(description="A token's id; or its text, which means all tokens that read so: case and outer blanks aside."),
]
Swept = Annotated[
    int | None,
    Field(
        ge=0,
        lt=MOST_INTERVENTIONS,
        description="Number of the intervention whose value is the dose, the first being 0. Null: the only one there "
        "is; of several, all, and the dose multiplies every value.",
    ),
]
Position = Annotated[
    int, Field(ge=-(2**31), lt=2**31, description="Of the token after which the next one is looked at; −1 is the last.")
]


class PredictBody(Schema):
    """Interventions on a text."""

    prompt: Prompt
    interventions: Interventions
    position: Position = -1
    tokens: list[TokenName] = Field(default_factory=list, max_length=MOST_TOKENS, description="To be told of, too.")
    top: int = Field(default=10, ge=1, le=50, description="How many tokens of each kind to give.")
    side_effects: int = Field(default=12, ge=0, le=100, description="How many other features to give.")
    method: Method = Field(
        default="first_order",
        description="How it is predicted: by the slope at the untouched text; by the mean of the slopes on the way to "
        "the steered one, for seven times the work; or by the slope between layers of features, exactly within them.",
    )


class TokenChangeBody(Token):
    """A token of the vocabulary. Changes are of its logit, less the mean change over the vocabulary."""

    predicted: float = Field(description="Through the model, as `method` says.")
    lens: float = Field(description="By the direct lens α·s·Δz·(D·W_U): if no later layer reacted.")
    measured: float
    logprob: float = Field(description="Without interventions, in nats.")
    steered_logprob: float = Field(description="With them.")


class AgreementBody(Schema):
    """A predicted change of the logits against the measured one, over the whole vocabulary. Null where one is 0."""

    spearman: float | None
    pearson: float | None
    slope: float | None = Field(description="Logits that came for each that was predicted.")
    overlap_raised: float = Field(description="Share of the tokens predicted to rise most that rose most.")
    overlap_lowered: float
    top: int = Field(description="How many tokens the two overlaps are about.")
    agrees: bool = Field(description="Spearman's ρ is at least 0.8.")


class ShareBody(Schema):
    """What one intervention adds to the prediction, given those before it."""

    raised: list[tuple[int, str, float]] = Field(description="Id, text and predicted change of a token.")


class SideEffectBody(Schema):
    """A feature that nobody turned."""

    source: str
    index: int
    before: float = Field(description="Its value, on the mean over the positions from `begins` on.")
    after: float
    change: float = Field(description="How far it moved, on the mean over these positions, whichever way.")
    fired_before: int = Field(description="On how many of these positions it fired.")
    fired_after: int
    positions: int


class TurnoverBody(Schema):
    """How many features of a layer have changed places with others; first order takes it to be 0."""

    source: str
    layer: int
    replaced: float = Field(description="Of those that fired before or after, the share that fired only once.")


class SideEffectsBody(Schema):
    """What became of other features."""

    begins: int | None = Field(description="First position at which anything changed; null where nothing did.")
    changed: int = Field(description="Features that changed, over all layers.")
    features: list[SideEffectBody]
    layers: list[TurnoverBody]


class PredictionBody(Schema):
    """What interventions were predicted to do to the next token, and what they did."""

    prompt_tokens: list[Token]
    position: int
    kl: float = Field(description="KL(steered ‖ plain) of the next token, in nats.")
    agreement: AgreementBody
    lens_agreement: AgreementBody
    raised: list[TokenChangeBody] = Field(description="Predicted to rise most.")
    lowered: list[TokenChangeBody] = Field(description="Predicted to fall most.")
    gained: list[TokenChangeBody] = Field(description="Those that gained most probability.")
    followed: list[TokenChangeBody] = Field(description="Those that were asked for.")
    shares: list[ShareBody] = Field(description="One an intervention, in order.")
    method: Method = Field(description="By which it was predicted.")
    side_effects: SideEffectsBody


class SweepBody(Schema):
    """Interventions at several doses."""

    prompt: Prompt
    interventions: Interventions
    swept: Swept = None
    doses: list[Dose] | None = Field(
        default=None, min_length=1, max_length=32, description="Null: nine, up to 1.5 times the length of the stream."
    )
    tokens: list[TokenName] = Field(
        default_factory=list, max_length=MOST_TOKENS, description="To be followed. None: those that gain most."
    )
    position: Position = -1
    max_new_tokens: int = Field(default=24, ge=0, le=128, description="To be written at each dose; 0 for nothing.")
    temperature: float = Field(default=0.0, ge=0, le=100)
    samples: int = Field(default=1, ge=1, le=8, description="Texts a dose.")
    seed: int = Field(default=0, ge=0, le=2**53 - 1, description="All doses share its random numbers.")


class WrittenBody(Schema):
    """What was written, as the model without interventions finds it."""

    texts: list[str]
    perplexity: float | None = Field(description="Null where nothing was written.")
    repetition: float = Field(description="Share of runs of three tokens that a text has had before.")


class DosePointBody(Schema):
    """One dose."""

    dose: float
    logprobs: list[float] = Field(description="Of `tokens`, in nats.")
    kl: float
    agreement: AgreementBody = Field(description="First order through the model, at this dose, against what came.")
    written: WrittenBody | None


class SweepAnswer(Schema):
    """What came of the doses."""

    swept: int | None
    tokens: list[Token]
    plain_logprobs: list[float]
    plain_written: WrittenBody | None
    points: list[DosePointBody]


class WordsConcept(Schema):
    """So many different ones of these words are to occur. Case does not count."""

    kind: Literal["words"]
    words: list[Annotated[Text, Field(min_length=1, max_length=100)]] = Field(min_length=1, max_length=500)
    at_least: int = Field(default=2, ge=1, le=500)


class PatternConcept(Schema):
    """A regular expression is to be found."""

    kind: Literal["pattern"]
    pattern: Text = Field(min_length=1, max_length=LONGEST_PATTERN)

    @model_validator(mode="after")
    def _compiles(self) -> PatternConcept:
        try:
            regex.compile(self.pattern)
        except regex.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return self


class TokensConceptBody(Schema):
    """So many of these tokens are to be written."""

    kind: Literal["tokens"]
    tokens: list[TokenName] = Field(min_length=1, max_length=500)
    at_least: int = Field(default=2, ge=1, le=500)


class FeatureName(Schema):
    """A feature."""

    source: Text = Field(max_length=200)
    index: int = Field(ge=0, le=2**31 - 1)


class FeaturesConcept(Schema):
    """One of these features is to fire when the text is read without interventions."""

    kind: Literal["features"]
    features: list[FeatureName] = Field(
        default_factory=list, max_length=100, description="None: those that are turned."
    )
    share: float = Field(default=0.5, gt=0, le=1, description="Of its tokens, that puts a text wholly on the concept.")


ConceptBody = Annotated[
    WordsConcept | PatternConcept | TokensConceptBody | FeaturesConcept, Field(discriminator="kind")
]


class BudgetBody(Schema):
    """What fluency may cost."""

    perplexity: float = Field(default=1.5, ge=1, le=1e6, description="Times that of plain texts.")
    repetition: float = Field(default=0.2, ge=0, le=1, description="More than plain texts, in shares of their runs.")


class SweetSpotBody(Schema):
    """A search for the strength that brings most of a concept for a stated cost in fluency."""

    prompts: list[Prompt] = Field(min_length=1, max_length=16)
    interventions: Interventions
    concept: ConceptBody = FeaturesConcept(kind="features")
    swept: Swept = None
    most: float | None = Field(
        default=None, gt=0, le=LARGEST_VALUE, description="Greatest dose. Null: 1.5 times the length of the stream."
    )
    budget: BudgetBody = BudgetBody()
    temperatures: list[Annotated[float, Field(ge=0, le=100)]] = Field(default=[0.7], min_length=1, max_length=4)
    samples: int = Field(default=8, ge=1, le=16, description="Texts a prompt and dose; 1 at temperature 0.")
    max_new_tokens: int = Field(default=32, ge=1, le=128)
    seed: int = Field(default=0, ge=0, le=2**53 - 1)

    @model_validator(mode="after")
    def _not_too_much(self) -> SweetSpotBody:
        if len(self.prompts) * self.samples * self.max_new_tokens > MOST_WRITTEN:
            raise ValueError(f"prompts × samples × max_new_tokens may be at most {MOST_WRITTEN}")
        return self


class PlainBody(Schema):
    """What is written without interventions, at one temperature."""

    temperature: float
    concept: float
    perplexity: float | None
    repetition: float


class TrialBody(Schema):
    """What came of one strength and one temperature."""

    dose: float
    temperature: float
    concept: float = Field(description="How much of it is in the texts, from 0 to 1.")
    perplexity: float | None
    ratio: float | None = Field(description="That over plain texts' at the same temperature.")
    repetition: float
    affordable: bool = Field(description="Within the budget.")
    example: str


class SweetSpotAnswer(Schema):
    """What the search found, and all that it tried."""

    optimised: str = Field(description="What was optimised, in a sentence.")
    swept: int | None
    most: float
    best: TrialBody | None = Field(description="Null where nothing affordable brings more than plain text has.")
    interventions: list[InterventionBody] | None = Field(description="Those of the request at the best dose.")
    checked: TrialBody | None = Field(description="The best once more, with noise on which nothing was chosen.")
    checked_plain: PlainBody | None
    plain: list[PlainBody]
    trials: list[TrialBody]
    frontier: list[TrialBody] = Field(description="Those that no other beats in both, the most fluent first.")
