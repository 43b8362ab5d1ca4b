"""Every live feature is turned up alone, and what the model then writes is put to every test.

It is the one way to see what a feature makes the model write: what it fires on says little of that, and its direct
effect on the logits leaves out all that later layers make of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfn_core.evaluation.steer_search.goals import GENERATED
from mfn_core.evaluation.steer_search.own_tokens import promoted
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.text_tests import TextTest
from mfn_core.writing import Writing, decoded, write


def screen(
    model: MFNModel,
    layer: int,
    features: Sequence[int],
    values: Sequence[float],
    tests: Sequence[TextTest],
    prompts: Sequence[str],
    writing: Writing,
) -> Tensor:
    """How much nearer each feature, set to its value, brings the model to passing each test than plain text comes.

    Returns:
        float [features, tests]: the mean of `TextTest.degree` over the prompts, less that of plain texts.
    """
    plain = [_degrees(text, tests, ()) for text in decoded(model, write(model, prompts, [()] * len(prompts), writing))]
    turned = [
        (Intervention(layer, feature, "set", value, GENERATED),)
        for feature, value in zip(features, values, strict=True)
    ]
    rows = [turns for turns in turned for _ in prompts]
    texts = decoded(model, write(model, list(prompts) * len(turned), rows, writing))
    own = promoted(model, {layer: features})
    found = [_degrees(text, tests, own[layer, features[number // len(prompts)]]) for number, text in enumerate(texts)]
    steered = torch.tensor(found).view(len(features), len(prompts), len(tests)).mean(1)
    return steered - torch.tensor(plain).mean(0)


def _degrees(text: str, tests: Sequence[TextTest], own: Sequence[str] | frozenset[str]) -> list[float]:
    return [test.degree(text, own) for test in tests]
