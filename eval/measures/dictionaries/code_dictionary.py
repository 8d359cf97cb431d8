"""A sparse dictionary on spline codes, next to one on activations and to clusters, on the same tokens, held out.

The future work that the polytope paper states: an overcomplete sparse basis *of spline codes* [Black et al. 2022,
section 5]. That is `topk_dictionary` (a TopK sparse autoencoder, wider than the bits, k active features). Beside it are
`factor_dictionary` (non-negative factors: few, and dense unless `sparsity` is given: neither overcomplete nor sparse)
and `cluster_dictionary` (one active element). All are fitted on some items and judged on the same others.

fraction unexplained = sum (x - x')^2 / sum (x - mean of the training items)^2, on held-out items, 0 is perfect and 1 no
better than the training mean. For bits also the share of bits guessed wrong (x' rounded at 1/2).

Axis glossary: ``item`` tokens, ``bit``, ``feature`` dictionary elements.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped

from eval.errors import UserError
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.step_options import StepOptions


@dataclass(frozen=True)
class CodeDictionary:
    """A fitted dictionary: vectors `[feature, bit]`, held-out feature values `[held-out item, feature]`, and scores.

    method: what it is, in words. mean_active: features above 1% of their largest value, per held-out item; bit_error:
    `None` for activations; n_train: items it was fitted on.
    """

    basis: str
    method: str
    n_train: int
    vectors: Float[np.ndarray, "feature bit"]
    features: Float[np.ndarray, "item feature"]
    unexplained: float
    bit_error: float | None
    mean_active: float

    def summary(self) -> dict[str, float | int | str | None]:
        return {
            "basis": self.basis,
            "method": self.method,
            "n_train": self.n_train,
            "n_features": len(self.vectors),
            "fraction_unexplained": self.unexplained,
            "bit_error": self.bit_error,
            "mean_active": self.mean_active,
        }


def factor_dictionary(
    train: Shaped[np.ndarray, "item bit"],
    held_out: Shaped[np.ndarray, "other bit"],
    *,
    n_features: int,
    basis: str,
    sparsity: float = 0.0,
    seed: int = 0,
) -> CodeDictionary:
    """Non-negative factors of codes (bits) or activations (clipped at 0): `x ~ features @ vectors`.

    Args:
        train, held_out: rows of disjoint documents.
        n_features: size; more than the bits' rank is overcomplete.
        basis: name for the tables, e.g. `codes` or `activations`.
        sparsity: L1 weight on the features, relative to the data's scale.

    Raises:
        UserError: no training or held-out items, non-finite values, different widths.
    """
    from sklearn.decomposition import MiniBatchNMF

    is_bits = train.dtype == np.uint8 or train.dtype == np.bool_
    x, y = (np.maximum(np.asarray(a, dtype=np.float32), 0) for a in (train, held_out))
    if not len(x) or not len(y) or x.shape[1] != y.shape[1]:
        raise UserError(f"expected training and held-out rows of one width; got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UserError("expected finite rows; got NaN or infinity; check the activations")
    build: Any = MiniBatchNMF  # its annotations call numbers strings
    model = build(
        n_features, init="nndsvda" if n_features <= min(x.shape) else "random", batch_size=min(1024, len(x)),
        alpha_W=sparsity, alpha_H=0.0, l1_ratio=1.0, max_iter=100, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():  # the share left unexplained is reported; reaching max_iter is no failure
        warnings.filterwarnings("ignore", message="Maximum number of iterations")
        model.fit(x)
        features = model.transform(y)
    guess = features @ model.components_
    kind = "NMF" if not sparsity else f"NMF, L1 weight {sparsity:g}"
    return CodeDictionary(
        basis, kind, len(x), model.components_.astype(float), features.astype(float), _unexplained(y, guess, x.mean(0)),
        float(((guess > 0.5) != (y > 0.5)).mean()) if is_bits else None, _mean_active(features),
    )  # fmt: skip


def topk_dictionary(
    train: Shaped[np.ndarray, "item bit"],
    held_out: Shaped[np.ndarray, "other bit"],
    *,
    basis: str,
    widening: float = 2.0,
    k: int = 32,
    steps: int = 400,
    batch_size: int = 256,
    seed: int = 0,
) -> CodeDictionary:
    """An overcomplete sparse dictionary of codes (bits) or activations: a TopK sparse autoencoder [Gao et al. 2024].

    Rows are centred by the training mean and divided by one number (the training items' root mean square deviation), so
    that one learning rate serves bits and activations; the scores are in the rows' own units.

    Args:
        train, held_out: rows of disjoint documents. widening: features per bit, above 1 is overcomplete.
        k: active features per item. steps: batches of `batch_size` items; 0 leaves the dictionary at random.

    Raises:
        UserError: no items, different widths, non-finite values, k above the number of features.
    """
    is_bits = train.dtype == np.uint8 or train.dtype == np.bool_
    if not len(train) or not len(held_out) or train.shape[1] != held_out.shape[1]:
        raise UserError(f"expected training and held-out rows of one width; got {train.shape} and {held_out.shape}")
    if not is_bits and not (np.isfinite(train).all() and np.isfinite(held_out).all()):
        raise UserError("expected finite rows; got NaN or infinity; check the activations")
    mean = train.mean(0, dtype=np.float64).astype(np.float32)
    parts = [np.square(train[i : i + 4096] - mean).sum(dtype=np.float64) for i in range(0, len(train), 4096)]
    spread = float(np.sqrt(sum(parts) / train.size))
    scale = spread if spread > 0 else 1.0
    options = StepOptions(
        d_in=train.shape[1], n_features=int(widening * train.shape[1]), k=k, warmup_steps=steps // 20,
        decay_steps=steps // 5, total_steps=steps, dead_after=max(20, steps // 10), seed=seed,
    )  # fmt: skip
    trainer, generator = TopKTrainer(options), np.random.default_rng(seed)
    rows = np.zeros(0, dtype=np.int64)
    for _ in range(steps):
        while len(rows) < min(batch_size, len(train)):
            rows = np.concatenate([rows, generator.permutation(len(train))])
        batch, rows = train[rows[:batch_size]].astype(np.float32), rows[batch_size:]
        trainer.step(torch.from_numpy((batch - mean) / scale))
    with torch.no_grad():
        learnt, y = trainer.dictionary(), np.asarray(held_out, dtype=np.float32)
        features = learnt.encode(torch.from_numpy((y - mean) / scale))
        guess = learnt.decode(features).numpy() * scale + mean
    values = features.numpy()
    return CodeDictionary(
        basis, f"TopK SAE, k = {k}", len(train), learnt.decoder.numpy() * scale, values, _unexplained(y, guess, mean),
        float(((guess > 0.5) != (y > 0.5)).mean()) if is_bits else None, float((values > 0).sum(1).mean()),
    )  # fmt: skip


def cluster_dictionary(
    train: Shaped[np.ndarray, "item bit"],
    train_labels: Int[np.ndarray, " item"],
    held_out: Shaped[np.ndarray, "other bit"],
    *,
    basis: str,
) -> CodeDictionary:
    """Clusters as a dictionary with one active element: the mean code of the nearest cluster (or the overall mean).

    The same scores as `factor_dictionary`, so that clusters and dictionaries stand in one table.
    """
    is_bits = train.dtype == np.uint8 or train.dtype == np.bool_
    x, y = np.asarray(train, dtype=np.float32), np.asarray(held_out, dtype=np.float32)
    centres = [x.mean(0)] + [x[train_labels == c].mean(0) for c in range(int(train_labels.max(initial=-1)) + 1)]
    vectors = np.stack(centres)
    squared = (vectors**2).sum(1) - 2 * y @ vectors.T
    features = np.eye(len(vectors))[squared.argmin(1)]
    guess = features @ vectors
    error = float(((guess > 0.5) != (y > 0.5)).mean()) if is_bits else None
    unexplained = _unexplained(y, guess, x.mean(0))
    return CodeDictionary(basis, "cluster means", len(x), vectors.astype(float), features, unexplained, error, 1.0)


def _unexplained(rows: np.ndarray, guess: np.ndarray, mean: np.ndarray) -> float:
    total = float(np.sum((rows - mean) ** 2, dtype=np.float64))
    return float(np.sum((rows - guess) ** 2, dtype=np.float64) / total) if total > 0 else 0.0


def _mean_active(features: np.ndarray) -> float:
    largest = features.max(0, initial=0)
    return float((features > 0.01 * np.maximum(largest, 1e-12)).sum(1).mean()) if len(features) else 0.0
