"""A language model of a Hugging Face folder on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mfn_core.errors import ConfigError
from mfn_server.naming.reader import Answer, ReaderError, Said


class LocalReader:
    """Answers greedily. Weights are safetensors, and no code of the folder is run."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Raises ConfigError: there is no such model."""
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, use_safetensors=True)
        except (OSError, ValueError) as error:
            why = str(error).partition("\n")[0]  # transformers' advice fills a screen
            raise ConfigError(f"{folder} holds no language model that can be read: {why}") from None
        self._model = model.eval().to(device)
        self._folder = folder

    @property
    def name(self) -> str:
        """The folder's."""
        return self._folder.name

    @torch.inference_mode()
    def ask(self, system: str, question: str, most_tokens: int, logprobs: int = 0) -> Answer:
        """See `Reader`. Raises ReaderError where the question is longer than the model's context."""
        if self._tokenizer.chat_template:
            messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
            prompt = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            ids = self._tokenizer(prompt, return_tensors="pt", add_special_tokens=False).input_ids
        else:
            ids = self._tokenizer(f"{system}\n\n{question}\n\nAnswer:", return_tensors="pt").input_ids
        context = getattr(self._model.config, "max_position_embeddings", None)
        if context is not None and ids.shape[1] + most_tokens > context:
            raise ReaderError(f"{self.name} reads {context} tokens, and {ids.shape[1]} + {most_tokens} were asked for")
        ids = ids.to(self._model.device)
        pad = self._tokenizer.pad_token_id
        found = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=most_tokens,
            do_sample=False,
            pad_token_id=self._tokenizer.eos_token_id if pad is None else pad,
            return_dict_in_generate=True,
            output_logits=logprobs > 0,
        )
        written = found.sequences[0, ids.shape[1] :]
        text = self._tokenizer.decode(written, skip_special_tokens=True)
        tokens = self._said(written, found.logits, logprobs) if logprobs else ()
        return Answer(text, ids.shape[1], len(written), tokens)

    def _said(self, written: torch.Tensor, logits: Sequence[torch.Tensor], n: int) -> Sequence[Said]:
        """Tokens by what each adds to the text before it, which is what the text is made of."""
        special = set(self._tokenizer.all_special_ids)
        kept = [(place, token) for place, token in enumerate(written.tolist()) if token not in special]
        said, before = [], ""
        for number, (place, _) in enumerate(kept, 1):
            after = self._tokenizer.decode([token for _, token in kept[:number]])
            if after.endswith("\ufffd") and number < len(kept):  # part of a character, which the next token completes
                after = before
            best = torch.log_softmax(logits[place][0].double(), dim=-1).topk(min(n, logits[place].shape[-1]))
            likely = [
                (self._tokenizer.decode([each]), chance)
                for each, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ]
            said.append(Said(after[len(before) :], likely))
            before = after
        return said
