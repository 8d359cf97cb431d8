"""Does the sd over documents, measured on one half of a real text, foretell how far alpha of the other half lies?

Two models, two texts, four layers each: second moments of every document are kept once, then every split of the
documents into halves is linear algebra. z is the difference of the two alphas over their sds together. WikiText-2
is cut into sections, so that it has more than 200 documents.

    python tests/benchmarks/benchmark_document_intervals.py 200                    # 16 cells, an hour or two
    python tests/benchmarks/benchmark_document_intervals.py 20 embedded sotu 8000  # one model and text, less of it
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from eval.measures.spectra.document_groups import N_GROUPS, SUBSPACE, DocumentGroups
from eval.measures.spectra.document_moments import group_of
from eval.measures.spectra.power_law import power_law_exponent
from llm_codes.corpus import load_corpus
from llm_codes.harvest import keep_mask
from llm_codes.models import load_model
from llm_codes.sites import resolve_sites

SECTIONS = r"^ ?= = (?!=)"
LAYERS = {"embedded": "0,2,4,5", "smollm2": "0,10,20,29"}
TOKENS = {"embedded": 120_000, "smollm2": 100_000}
TEXTS = ("sotu", "wikitext-2")
SPLITS_OF_A_HALF = 24
FIRST_DOCUMENTS = 4


@dataclass
class Documents:
    """Second moments [document, width, width], sums [document, width] and counts of one site, and its subspace."""

    moments: np.ndarray
    sums: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        first = slice(0, FIRST_DOCUMENTS)
        total = self.sums[first].sum(0)
        scatter = self.moments[first].sum(0) - np.outer(total, total) / self.counts[first].sum()
        self.basis = np.linalg.eigh(scatter)[1][:, ::-1][:, :SUBSPACE].copy()
        self.low = np.einsum("ia,gij,jb->gab", self.basis, self.moments, self.basis, optimize=True)
        self.low_sums = self.sums @ self.basis
        self.total = self.moments.sum(0)

    def half(self, members: np.ndarray, moment: np.ndarray, seed: int) -> tuple[float, float]:
        """alpha of some documents in the whole width, and its sd over documents."""
        groups = DocumentGroups(self.sums.shape[1])
        groups.basis = torch.from_numpy(self.basis)
        for group, member in zip(group_of(np.arange(len(members)), N_GROUPS), members, strict=True):
            groups.counts[group] += self.counts[member]
            groups.sums[group] += self.low_sums[member]
            groups.moments[group] += self.low[member]
        count, total = self.counts[members].sum(), self.sums[members].sum(0)
        values = np.linalg.eigvalsh((moment - np.outer(total, total) / count) / (count - 1))[::-1]
        splits = groups.splits(seed=seed, n_splits=SPLITS_OF_A_HALF)
        return float(power_law_exponent(np.maximum(values, 1e-30))), np.nan if splits is None else splits.sd


def gather(name: str, text: str, n_tokens: int) -> dict[str, Documents]:
    """One pass: the moments of every document at every layer asked for, position 0 left out."""
    model = load_model(name)
    context = 128 if name == "smollm2" else 256
    separator = SECTIONS if text == "wikitext-2" else None
    corpus = load_corpus(text, model, context=context, n_tokens=n_tokens, document_separator=separator)
    sites = resolve_sites(model, "resid_post", LAYERS[name])
    n, width = len(corpus.documents), model.d_model
    kept = {site.hook: (np.zeros((n, width, width)), np.zeros((n, width)), np.zeros(n)) for site in sites}
    shift: dict[str, torch.Tensor] = {}
    for batch in corpus.select(np.argsort(corpus.document, kind="stable")).batches(8):
        keep = keep_mask(batch, 1)
        for hook, values in model.activations(batch.tokens, sites).items():
            shift.setdefault(hook, values[keep].double().mean(0))
            for document in np.unique(batch.document.numpy()):
                mine = batch.document == int(document)
                rows = values[mine][keep[mine]].double() - shift[hook]
                kept[hook][0][document] += (rows.T @ rows).numpy()
                kept[hook][1][document] += rows.sum(0).numpy()
                kept[hook][2][document] += len(rows)
    return {site.name: Documents(*kept[site.hook]) for site in sites}


def differences(documents: Documents, n_splits: int) -> np.ndarray:
    """z of each random split into halves."""
    generator, n = np.random.default_rng(1), len(documents.counts)
    out = []
    for number in range(n_splits):
        order = generator.permutation(n)
        first, second = order[: n // 2], order[n // 2 :]
        moment = documents.moments[first].sum(0)
        a, sd_a = documents.half(first, moment, number)
        b, sd_b = documents.half(second, documents.total - moment, number + 10**6)
        out.append((a - b) / np.hypot(sd_a, sd_b))
    return np.array(out)


def measure(n_splits: int, names: tuple[str, ...], texts: tuple[str, ...], n_tokens: int | None = None) -> np.ndarray:
    """All cells, printed one by one; returns every z."""
    every = []
    for name in names:
        for text in texts:
            for site, documents in gather(name, text, n_tokens or TOKENS[name]).items():
                z = differences(documents, n_splits)
                every.append(z)
                row = {"model": name, "text": text, "site": site, "documents": len(documents.counts)}
                row |= {"rms_z": float(np.sqrt(np.mean(z**2))), "beyond": float(np.mean(np.abs(z) > 1.96))}
                print(json.dumps(row), flush=True)
    return np.concatenate(every)


@pytest.mark.benchmark
@pytest.mark.timeout(4 * 3600)
def test_the_interval_holds_on_split_halves_of_real_text() -> None:
    z = measure(200, tuple(LAYERS), TEXTS)
    assert np.mean(np.isnan(z)) <= 0.25
    z = z[np.isfinite(z)]
    assert 0.9 <= np.sqrt(np.mean(z**2)) <= 1.15
    assert np.mean(np.abs(z) > 1.96) <= 0.07


if __name__ == "__main__":
    splits, asked, text, tokens = [*sys.argv[1:], *["200", "", "", ""][len(sys.argv) - 1 :]]
    measure(int(splits), (asked,) if asked else tuple(LAYERS), (text,) if text else TEXTS, int(tokens or 0) or None)
