"""Tokens as bytes, as display text, and decoded one at a time."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from mfn_core.tokens import IncrementalDecoder, display, token_bytes, token_strings

TEXTS = ["plain words, and more words", "naïve café – “quotes”", "字 emoji 🙂 и кириллица", "a\nb\tc", "<|end|>"]


@pytest.fixture(scope="module")
def byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["some words and more words"] * 5, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", bos_token="<|end|>")


def test_the_bytes_of_the_tokens_are_the_bytes_of_the_text(byte_level: PreTrainedTokenizerFast) -> None:
    pieces = token_bytes(byte_level)
    assert len(pieces) == len(byte_level)
    for text in TEXTS:
        ids = byte_level(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert b"".join(pieces[i] for i in ids) == text.encode()


def test_a_part_of_a_character_is_shown_as_its_bytes(byte_level: PreTrainedTokenizerFast) -> None:
    shown = token_strings(byte_level)
    assert shown[0] == "<|end|>"
    (first, *_) = byte_level("字", add_special_tokens=False)["input_ids"]
    assert shown[first] == "⟨e5⟩"
    assert display(b" word") == " word"
    assert display(b"\xe5\xad") == "⟨e5 ad⟩"


def test_decoding_token_by_token_gives_the_text(byte_level: PreTrainedTokenizerFast) -> None:
    pieces = token_bytes(byte_level)
    for text in TEXTS:
        decoder = IncrementalDecoder(pieces)
        ids = byte_level(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        parts = [decoder.push(i) for i in ids]
        assert "".join(parts) + decoder.flush() == text
        assert all("\ufffd" not in part for part in parts)


def test_an_unfinished_character_comes_out_at_the_end(byte_level: PreTrainedTokenizerFast) -> None:
    decoder = IncrementalDecoder(token_bytes(byte_level))
    (first, *_) = byte_level("字", add_special_tokens=False)["input_ids"]
    assert decoder.push(first) == ""
    assert decoder.flush() == "\ufffd"


def test_sentencepiece_pieces_are_bytes_too() -> None:
    vocabulary = {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "▁the": 3, "re": 4}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")
    assert token_bytes(wrapped)[1:] == [b"<s>", b"\n", b" the", b"re"]
