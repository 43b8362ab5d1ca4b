"""The model card: one set of facts, written as numbers (`card.json`) and as a text for readers (`README.md`)."""

from mfn_core.training.card.facts import Facts, Twin, as_data
from mfn_core.training.card.measured import add_reports
from mfn_core.training.card.page import as_markdown

__all__ = ["Facts", "Twin", "add_reports", "as_data", "as_markdown"]
