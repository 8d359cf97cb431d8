"""Surprisal: do the words make the texts in which the unit fires less surprising? [Paulo et al. 2024]

For every window the language model's mean log-probability of its tokens after the explanation, minus that after no
explanation, in nats a token. AUROC: the chance that a window in which the unit fires gains more than a hard negative
(chance 0.5). No threshold, so no balanced accuracy. Needs a model that gives the log-probability of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float

from eval.explanation.explainers import Explanation
from eval.explanation.records import Record
from eval.explanation.tokens import visible

WITHOUT = "Text: "
WITH = "A text with {words}.\n\nText: "


class Reader(Protocol):
    """Gives the mean log-probability a token of each text after its head."""

    def text_logprobs(self, heads: Sequence[str], texts: Sequence[str]) -> Float[np.ndarray, " text"]: ...


def gains(reader: Reader, asked: Sequence[tuple[Explanation, Record]]) -> Float[np.ndarray, " question"]:
    """How much the explanation helps to expect each window, in nats a token."""
    texts = ["".join(visible(token) for token in record.tokens) for _, record in asked]
    told = reader.text_logprobs([WITH.format(words=words.text) for words, _ in asked], texts)
    return told - reader.text_logprobs([WITHOUT] * len(asked), texts)
