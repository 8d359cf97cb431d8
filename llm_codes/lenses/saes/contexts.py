"""Where each feature fires: its strongest contexts, the tokens it prefers, its density. Axes: token, feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.measures.dictionaries.feature_rows import FeatureRows
from llm_codes.lenses.connectors.pairs import FeaturePairs
from llm_codes.lenses.saes.rows import Context
from llm_codes.models import Model

BEFORE, AFTER = 10, 4


@dataclass
class ContextIndex:
    """Activations sorted by feature, strongest first: `order` into flat (token, active) entries, `starts` [feature]."""

    rows: FeatureRows
    pairs: FeaturePairs
    model: Model

    def __post_init__(self) -> None:
        features, values = self.rows.indices.numpy().ravel(), self.rows.values.numpy().ravel()
        tokens = np.repeat(np.arange(len(self.rows)), self.rows.indices.shape[1])
        live = values > 0
        features, values, tokens = features[live], values[live], tokens[live]
        order = np.lexsort((-values, features))
        self.features, self.values, self.tokens = features[order], values[order], tokens[order]
        self.starts = np.searchsorted(self.features, np.arange(self.rows.width + 1))
        self._strings: dict[int, str] = {}

    def string(self, token: int) -> str:
        """One token as text."""
        if token not in self._strings:
            self._strings[token] = self.model.token_strings([token])[0]
        return self._strings[token]

    def entries(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """Token numbers and activations of a feature, strongest first."""
        span = slice(self.starts[feature], self.starts[feature + 1])
        return self.tokens[span], self.values[span]

    def density(self, feature: int) -> float:
        return float(self.starts[feature + 1] - self.starts[feature]) / max(1, len(self.rows))

    def top_tokens(self, feature: int, count: int = 4) -> list[str]:
        """The tokens that carry most of the feature's activation, most first."""
        tokens, values = self.entries(feature)
        ids, inverse = np.unique(self.pairs.tokens[tokens], return_inverse=True)
        total = np.bincount(inverse, weights=values) if len(ids) else np.zeros(0)
        return [self.string(int(ids[i])) for i in np.argsort(-total, kind="stable")[:count]]

    def label(self, feature: int) -> str:
        """A short label for reading: up to three of its tokens. Not an explanation."""
        return "/".join(token.strip() or repr(token)[1:-1] for token in self.top_tokens(feature, 3)) or "silent"

    def contexts(self, feature: int, count: int = 5) -> list[Context]:
        """The strongest contexts, at most one per window: token texts before, at and after, and the activation."""
        tokens, values = self.entries(feature)
        out, seen = [], set()
        for token, value in zip(tokens, values, strict=True):
            window = int(self.pairs.window[token])
            if window in seen:
                continue
            seen.add(window)
            out.append(self._context(token, round(float(value), 4)))
            if len(out) == count:
                break
        return out

    def _context(self, token: int, value: float) -> Context:
        place = int(self.pairs.position[token])
        row = self.pairs.windows[int(self.pairs.window[token])]
        start = min(place, max(1, place - BEFORE))  # BOS is shown only where it is the token that fires
        texts = [self.string(int(t)) for t in row[start : place + AFTER + 1]]
        return Context(tuple(texts), place - start, value)
