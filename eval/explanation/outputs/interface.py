"""Whom an explainer asks what units do to the next token: a model behind the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float


class Outputs(Protocol):
    """What the units of a book do to the next token, by their number; or why nothing can be said.

    direct: the change of every logit for a unit raised by 1, through nothing but the final norm's gain. steered: the
    mean change over all positions of texts (as token ids), with the unit raised by so much at every position.
    """

    def direct(self, unit: int) -> Float[np.ndarray, " token"] | str: ...

    def steered(self, unit: int, by: float, texts: Sequence[tuple[int, ...]]) -> Float[np.ndarray, " token"] | str: ...

    def strings(self, tokens: Sequence[int]) -> list[str]: ...
