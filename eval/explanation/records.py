"""Records: what a unit did on which tokens, gathered in one pass over the windows, in bounded memory.

Axes: ``window``, ``position``, ``unit``, ``column`` (a unit gives one column, a signed direction two: relu(x) and
relu(-x)), ``top`` (rank among a split's windows by largest activation). Activations are non-negative (the sign policy
of ``units``). Kept: every column on the shared random windows, its top windows of each split, and per token the sum of
its activation over *all* windows of the explain documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from eval.errors import UserError
from eval.explanation.outputs.interface import Outputs
from eval.explanation.units import Unit
from eval.explanation.windows import SPLITS, Windows

LEVELS = 10


def levels(values: Float[np.ndarray, "*axes"], maximum: float) -> Int[np.ndarray, "*axes"]:
    """Activations as 0..10: min(10, floor(10 relu(x) / max)) [B23]; all 0 where the maximum is not positive.

    NaN (no value) becomes 0. ``maximum`` is the unit's largest activation on the explain documents.
    """
    if not maximum > 0:
        return np.zeros(np.shape(values), dtype=int)
    scaled = LEVELS * np.maximum(np.nan_to_num(values), 0.0) / maximum
    return np.minimum(LEVELS, np.floor(scaled + 1e-9)).astype(int)


@dataclass(frozen=True)
class Record:
    """One window and one unit's activations on its kept tokens.

    tokens: as text. ids: the same as numbers. values: relu(x) in the unit's own scale [position]. window, document:
    numbers.
    """

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    values: Float[np.ndarray, " position"]
    window: int
    document: int


@dataclass(frozen=True, eq=False)
class TokenTable:
    """Mean activation by token over the explain documents: what token lookup knows.

    tokens: [token] sorted ids. mean: [token]. count: [token]. prior: mean over all tokens.
    """

    tokens: Int[np.ndarray, " token"]
    mean: Float[np.ndarray, " token"]
    count: Int[np.ndarray, " token"]
    prior: float

    def predict(self, tokens: Int[np.ndarray, "*axes"], strength: float = 1.0) -> Float[np.ndarray, "*axes"]:
        """(count mean + strength prior) / (count + strength); the prior itself for a token never seen."""
        place = np.minimum(np.searchsorted(self.tokens, tokens), len(self.tokens) - 1)
        count = np.where(self.tokens[place] == tokens, self.count[place], 0)
        return (count * self.mean[place] + strength * self.prior) / (count + strength)


class Recorder:
    """Accumulates records of many columns over batches of windows; ``finish`` turns columns into units.

    shared: the random windows of each split on which every unit is recorded. top: how many top windows per split.
    fit: windows of the explain documents of which every value is kept (in half precision), for rules to be fitted on.
    """

    def __init__(
        self,
        windows: Windows,
        n_columns: int,
        shared: dict[str, np.ndarray],
        top: int = 10,
        fit: Int[np.ndarray, " window"] | None = None,
    ) -> None:
        self.windows = windows
        self.fit = np.zeros(0, dtype=np.int64) if fit is None else np.asarray(fit, dtype=np.int64)
        self.shared = {split: np.asarray(shared.get(split, []), dtype=np.int64) for split in SPLITS}
        self.top = top
        length = int(windows.keep[0].sum())
        if not (windows.keep.sum(1) == length).all():
            raise ValueError("expected equally many kept tokens in every window; drop the padded ones first")
        self._row = {int(window): (split, row) for split in SPLITS for row, window in enumerate(self.shared[split])}
        self._fit_row = {int(window): row for row, window in enumerate(self.fit)}
        self.fit_values = np.zeros((len(self.fit), length, n_columns), np.float16)
        self.values = {s: np.zeros((len(self.shared[s]), length, n_columns), np.float32) for s in SPLITS}
        self.top_values = {s: np.full((top, length, n_columns), -1.0, np.float32) for s in SPLITS}
        self.top_windows = {s: np.full((top, n_columns), -1, np.int64) for s in SPLITS}
        explain = windows.of("explain")
        self.vocabulary, self.counts = np.unique(
            windows.tokens[explain][windows.keep[explain]] if len(explain) else [], return_counts=True
        )
        self.token_sums = np.zeros((len(self.vocabulary), n_columns))
        self.cubes = np.zeros(n_columns)
        self.maxima = np.zeros(n_columns)

    def update(self, values: Float[np.ndarray, "batch position column"], numbers: Int[np.ndarray, " batch"]) -> None:
        """Add the (non-negative) activations of the windows ``numbers``; ``position`` runs over kept tokens only."""
        if not np.isfinite(values).all():
            raise UserError(
                "expected finite activations, got NaN or infinity; check the weights, or load the model in float32"
            )
        for row, window in enumerate(numbers):
            if int(window) in self._row:
                split, place = self._row[int(window)]
                self.values[split][place] = values[row]
            if int(window) in self._fit_row:
                self.fit_values[self._fit_row[int(window)]] = values[row]
        split_of = self.windows.split[numbers]
        fresh = np.array([int(window) not in self._row for window in numbers])
        for code, split in enumerate(SPLITS):
            chosen = (split_of == code) & fresh
            if chosen.any():
                self._merge_top(split, values[chosen], numbers[chosen])
        explain = split_of == SPLITS.index("explain")
        if explain.any():
            self._add_tokens(values[explain], numbers[explain])

    def _merge_top(self, split: str, values: np.ndarray, numbers: np.ndarray) -> None:
        """Keep the windows with the largest maxima; of equals, the one with the lower number."""
        held, who = self.top_values[split], self.top_windows[split]
        peak = np.concatenate([held.max(1), values.max(1)])  # [top + batch, column]
        number = np.concatenate([who, np.repeat(numbers[:, None], who.shape[1], 1)])
        order = np.lexsort((number, -peak), axis=0)[: self.top]
        if (order < self.top).all():
            return
        changed = np.flatnonzero((order >= self.top).any(0))
        both = np.concatenate([held[:, :, changed], values[:, :, changed]])
        pick = order[:, changed]
        self.top_values[split][:, :, changed] = np.take_along_axis(both, pick[:, None, :], 0)
        who[:, changed] = np.take_along_axis(number[:, changed], pick, 0)

    def _add_tokens(self, values: np.ndarray, numbers: np.ndarray) -> None:
        tokens = self.windows.tokens[numbers][self.windows.keep[numbers]]
        flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
        place = np.searchsorted(self.vocabulary, tokens)
        shape = (len(self.vocabulary), len(flat))
        one_hot = csr_array((np.ones(len(flat)), (place, np.arange(len(flat)))), shape=shape)
        self.token_sums += one_hot @ flat
        self.cubes += (flat**3).sum(0)
        self.maxima = np.maximum(self.maxima, flat.max(0))

    def finish(self, units: Sequence[Unit], columns: Sequence[tuple[int, ...]], policy: str = "skewness") -> Book:
        """Choose each signed unit's column (positive third moment on the explain documents), and close the book.

        columns: the one column of each unit, or the (positive, negative) pair of a signed one.
        """
        chosen = []
        for pair in columns:
            flip = len(pair) == 2 and policy == "skewness" and self.cubes[pair[1]] > self.cubes[pair[0]]
            chosen.append(pair[int(flip)])
        signs = [-1 if column != pair[0] else 1 for column, pair in zip(chosen, columns, strict=True)]
        return Book(self, list(units), np.array(chosen, dtype=np.int64), np.array(signs))


class Book:
    """The records of every unit of one condition, with its scale (largest activation on the explain documents).

    outputs: what the units do to the next token, where the records are a model's.
    """

    outputs: Outputs | None = None

    def __init__(self, recorder: Recorder, units: list[Unit], columns: np.ndarray, signs: np.ndarray) -> None:
        self.units = units
        self.windows = recorder.windows
        self.shared = recorder.shared
        self.signs = signs
        self.fitted_on = recorder.fit
        self.scale = recorder.maxima[columns]
        self._recorder = recorder
        self._columns = columns

    def __len__(self) -> int:
        return len(self.units)

    def problem(self, unit: int) -> str | None:
        """Why nothing can be said about this unit, or ``None``: it never fires on the explain documents."""
        if not self.scale[unit] > 0:
            return "the unit is zero on every token of the explain documents"
        return None

    def shared_values(self, split: str) -> Float[np.ndarray, "window position unit"]:
        """Activations on the shared random windows of a split."""
        return self._recorder.values[split][:, :, self._columns]

    def unit_values(self, split: str, unit: int) -> Float[np.ndarray, "window position"]:
        """One unit on the shared random windows of a split."""
        return self._recorder.values[split][:, :, self._columns[unit]]

    @property
    def explain_tokens(self) -> Int[np.ndarray, " token"]:
        """The distinct tokens of the explain documents, in the order of `TokenTable.tokens`."""
        return self._recorder.vocabulary

    def fit_values(self, unit: int) -> Float[np.ndarray, "window position"]:
        """One unit on the windows ``fitted_on`` of the explain documents."""
        return self._recorder.fit_values[:, :, self._columns[unit]]

    def table(self, unit: int) -> TokenTable:
        """Token means over all windows of the explain documents."""
        sums = self._recorder.token_sums[:, self._columns[unit]]
        counts = self._recorder.counts
        return TokenTable(self._recorder.vocabulary, sums / counts, counts, float(sums.sum() / counts.sum()))

    def top(self, unit: int, split: str, count: int | None = None) -> list[Record]:
        """The unit's top windows of a split (the shared ones excluded), largest first."""
        column = self._columns[unit]
        numbers = self._recorder.top_windows[split][:count, column]
        values = self._recorder.top_values[split][:count, :, column]
        return [self._record(int(n), row) for n, row in zip(numbers, values, strict=True) if n >= 0]

    def random(self, unit: int, split: str, count: int | None = None) -> list[Record]:
        """The unit on the shared random windows of a split."""
        values = self._recorder.values[split][:count, :, self._columns[unit]]
        return [self._record(int(n), row) for n, row in zip(self.shared[split][:count], values, strict=True)]

    def _record(self, window: int, values: np.ndarray) -> Record:
        ids, tokens = self.windows.words(window)
        return Record(tokens, ids, values.astype(np.float64), window, int(self.windows.document[window]))

    def windows_used(self, split: str) -> Int[np.ndarray, " window"]:
        """Every window of a split that some unit of this book was read on (for the leakage audit)."""
        if split == "explain":  # token tables read all of them
            return self.windows.of(split)
        top = self._recorder.top_windows[split][:, self._columns].ravel()
        return np.unique(np.concatenate([self.shared[split], top[top >= 0]]))
