"""Bundles in transformers' registry of tokenizers. Their tokenizers are transformers' own."""

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mfn_core.hf.configuration import MFNPretrainedConfig

AutoTokenizer.register(  # type: ignore[no-untyped-call]
    MFNPretrainedConfig, fast_tokenizer_class=PreTrainedTokenizerFast, exist_ok=True
)
