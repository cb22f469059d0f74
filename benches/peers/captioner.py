"""A sentence from the image encoder's tokens: a merged decoder in Optimum's layout, searched with a beam."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from networks import Floats, session


@dataclass(frozen=True)
class Sentence:
    """Tokens from the beginning on, and the sum of their log-probabilities."""

    tokens: tuple[int, ...]
    log_probability: float

    @property
    def length(self) -> int:
        """The end counts, the beginning does not."""
        return max(len(self.tokens) - 1, 1)


class Captioner:
    MIN_PROBABILITY = 0.45

    def __init__(self, models: Path, beam: int = 3, **options: Any) -> None:
        folder = models / "caption"
        self.session = session(folder / "decoder_model_merged.onnx", **options)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.config = json.loads((folder / "generation_config.json").read_text())
        self.beam = beam
        self.past = {i.name: i.shape for i in self.session.get_inputs() if i.name.startswith("past_key_values.")}
        self.outputs = ["logits", *(self.present(name) for name in self.past)]

    @staticmethod
    def present(past: str) -> str:
        return past.replace("past_key_values.", "present.")

    def __call__(self, tokens: Floats) -> tuple[str, float] | None:
        """A sentence and the geometric mean of its words' probabilities, if that is high enough to be offered."""
        best = self.search(tokens)
        probability = float(np.exp(best.log_probability / best.length))
        text = self.tokenizer.decode(list(best.tokens), skip_special_tokens=True).strip()
        if not text or probability < self.MIN_PROBABILITY:
            return None
        return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else "."), probability

    def search(self, tokens: Floats) -> Sentence:
        eos, penalty = self.config["eos_token_id"], self.config["length_penalty"]

        def best(sentences: list[Sentence]) -> float:
            return max((s.log_probability / s.length**penalty for s in sentences), default=-np.inf)

        live = [Sentence((self.config["bos_token_id"],), 0.0)]
        ended: list[Sentence] = []
        past: dict[str, Floats] = {}
        while True:
            following, past = self.step(live, tokens, past)
            totals = following + np.array([[s.log_probability] for s in live])
            candidates = []
            for row, total in enumerate(totals):
                # Each sentence can fill the whole beam, and its end takes one place more.
                words = np.argpartition(-total, self.beam)[: self.beam + 1]
                candidates += [(float(total[word]), row, int(word)) for word in words]
            candidates.sort(key=lambda candidate: -candidate[0])
            rows: list[int] = []
            continued: list[Sentence] = []
            for total, row, word in candidates:
                if len(continued) == self.beam:
                    break
                sentence = Sentence((*live[row].tokens, word), total)
                if word == eos:
                    ended.append(sentence)
                else:
                    continued.append(sentence)
                    rows.append(row)
            full = not continued or len(continued[0].tokens) >= self.config["max_length"]
            if full:
                ended += continued
            if full or best(ended) >= best(continued):
                return max(ended, key=lambda s: s.log_probability / s.length**penalty)
            live, past = continued, {name: cache[rows] for name, cache in past.items()}

    def step(self, live: list[Sentence], tokens: Floats, past: dict[str, Floats]) -> tuple[Floats, dict[str, Floats]]:
        """The log-probabilities of each sentence's next word, and the caches."""
        first = not past
        if first:
            # Before the first word there is nothing; the graph wants the picture's part at its full length.
            past = {
                name: np.zeros((len(live), heads, len(tokens) if ".encoder." in name else 0, width), np.float32)
                for name, (_, heads, _, width) in self.past.items()
            }
        feed: dict[str, Any] = {
            "input_ids": np.array([[s.tokens[-1]] for s in live], np.int64),
            "encoder_hidden_states": np.repeat(tokens[None], len(live), 0),
            "use_cache_branch": np.array([not first]),
            **past,
        }
        logits, *caches = self.session.run(self.outputs, feed)
        # The picture's part is computed in the first step and does not change.
        present = {
            name: cache if first or ".decoder." in name else past[name]
            for name, cache in zip(self.past, caches, strict=True)
        }
        logits = logits[:, -1]
        shifted = logits - logits.max(1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(1, keepdims=True)), present
