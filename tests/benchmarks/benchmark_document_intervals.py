"""Does the interval of alpha_corrected, measured on one half of a real text, foretell the other half?

Three models, two texts, four layers each: second moments of every document are kept once, then every split of the
documents into halves is linear algebra. The third model is trained for this (`THIRD`). Each half goes through
`exponent_over_documents`, the interval that ships.

    z          difference of the two alpha_corrected over their sds over documents together
    z_interval the same over the widths of the two intervals, which also span alpha as measured

WikiText-2 is cut into sections, so that it has more than 200 documents.

    python tests/benchmarks/benchmark_document_intervals.py 200                    # 16 cells, half a day
    python tests/benchmarks/benchmark_document_intervals.py 20 embedded sotu 8000  # one model and text, less of it
    python tests/benchmarks/benchmark_document_intervals.py 40 runs/third/model    # a folder: the third model
    python tests/benchmarks/benchmark_document_intervals.py drift                  # embedded model: fewer documents
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch

from eval.measures.spectra.document_groups import N_GROUPS, SUBSPACE, DocumentGroups
from eval.measures.spectra.document_interval import exponent_over_documents
from eval.measures.spectra.document_moments import N_BINS, DocumentMoments, group_of
from eval.measures.spectra.document_moments import N_GROUPS as N_MOMENT_GROUPS
from eval.scores import Score
from llm_codes.corpus import load_corpus
from llm_codes.harvest import keep_mask
from llm_codes.models import load_model
from llm_codes.sites import resolve_sites

SECTIONS = r"^ ?= = (?!=)"
LAYERS = {"embedded": "0,2,4,5", "smollm2": "0,10,20,29"}
TOKENS = {"embedded": 120_000, "smollm2": 100_000}
THIRD = (
    "python -m llm_codes train-embedded --corpus wikitext-2 --n-layers 4 --width 96 --n-heads 4 --vocabulary 2048 "
    "--context 128 --steps 400 --out runs/third"
)
"""Another width, vocabulary and training text than those of the embedded model."""
OTHER_LAYERS, OTHER_TOKENS = "0,1,2,3", 120_000
TEXTS = ("sotu", "wikitext-2")
FIRST_DOCUMENTS = 4
NORMAL_95 = 1.959963984540054


@dataclass
class HalfMoments:
    """What `exponent_over_documents` reads of `Moments`, put together from documents that were read before."""

    documents: DocumentMoments
    groups: DocumentGroups
    covariance: np.ndarray
    n_tokens: int

    @property
    def width(self) -> int:
        return len(self.covariance)

    @property
    def n_documents(self) -> int:
        return len(self.documents.lengths)

    def eigenvalues(self) -> np.ndarray:
        return np.maximum(np.linalg.eigvalsh(self.covariance)[::-1], 0.0)


@dataclass
class Documents:
    """Second moments [document, width, width], sums [document, width] and counts of one site, and its subspaces."""

    moments: np.ndarray
    sums: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        first = slice(0, FIRST_DOCUMENTS)
        total = self.sums[first].sum(0)
        scatter = self.moments[first].sum(0) - np.outer(total, total) / self.counts[first].sum()
        self.basis = np.linalg.eigh(scatter)[1][:, ::-1][:, :SUBSPACE].copy()
        self.low, self.low_sums = self._within(self.basis)
        basis = DocumentMoments(self.sums.shape[1]).basis
        in_sketch = (self.moments, self.sums) if basis is None else self._within(basis.double().numpy())
        self.sketched, self.sketched_sums = in_sketch
        self.total = self.moments.sum(0)

    def _within(self, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moments = np.stack([basis.T @ moment @ basis for moment in self.moments])
        return moments, self.sums @ basis

    def half(self, members: np.ndarray, moment: np.ndarray) -> HalfMoments:
        """Some of the documents, numbered anew, with the sum of their second moments."""
        width, numbers = self.sums.shape[1], np.arange(len(members))
        groups, documents = DocumentGroups(width), DocumentMoments(width)
        groups.basis = torch.from_numpy(self.basis)
        counts = self.counts[members]
        np.add.at(groups.counts, group_of(numbers, N_GROUPS), counts)
        np.add.at(groups.sums, group_of(numbers, N_GROUPS), self.low_sums[members])
        np.add.at(groups.moments, group_of(numbers, N_GROUPS), self.low[members])
        np.add.at(documents.bin_sums, numbers % N_BINS, self.sketched_sums[members])
        np.add.at(documents.group_sums, group_of(numbers, N_MOMENT_GROUPS), self.sketched_sums[members])
        np.add.at(documents.group_moments, group_of(numbers, N_MOMENT_GROUPS), self.sketched[members])
        documents.lengths = dict(zip(numbers.tolist(), counts.astype(int).tolist(), strict=True))
        n, total = counts.sum(), self.sums[members].sum(0)
        return HalfMoments(documents, groups, (moment - np.outer(total, total) / n) / (n - 1), int(n))


def gather(name: str, text: str, n_tokens: int) -> dict[str, Documents]:
    """One pass: the moments of every document at every layer asked for, position 0 left out."""
    model = load_model(name)
    context = 256 if name == "embedded" else 128
    separator = SECTIONS if text == "wikitext-2" else None
    corpus = load_corpus(text, model, context=context, n_tokens=n_tokens, document_separator=separator)
    sites = resolve_sites(model, "resid_post", LAYERS.get(name, OTHER_LAYERS))
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


def exponent(half: HalfMoments, seed: int) -> tuple[float, float, float]:
    """alpha_corrected of a half, half the width of its interval, and its sd over documents; NaN where undefined."""
    found = exponent_over_documents(cast(Any, half), seed=seed)
    score, sd = found.score, found.diagnostics["document_sd"]
    if score.value is None or score.low is None or score.high is None or sd is None:
        return np.nan, np.nan, np.nan
    parametric = (found.diagnostics.get("alpha_sd"), sd)
    return score.value, (score.high - score.low) / 2, max(float(one) for one in parametric if one is not None)


def differences(documents: Documents, n_splits: int) -> np.ndarray:
    """[split, 2 halves x (alpha_corrected, half width, sd)] of random splits of the documents."""
    generator, n = np.random.default_rng(1), len(documents.counts)
    out = []
    for number in range(n_splits):
        order = generator.permutation(n)
        first, second = order[: n // 2], order[n // 2 :]
        moment = documents.moments[first].sum(0)
        a = exponent(documents.half(first, moment), number)
        b = exponent(documents.half(second, documents.total - moment), number + 10**6)
        out.append((*a, *b))
    return np.array(out)


def over_all(documents: Documents) -> Score:
    """alpha_corrected of the whole text with its interval."""
    every = documents.half(np.arange(len(documents.counts)), documents.total)
    return exponent_over_documents(cast(Any, every), seed=0).score


def drift(documents: Documents, n_draws: int = 5) -> list[dict[str, float | bool | None]]:
    """Intervals of an eighth, a quarter and a half of the documents: do they hold alpha_corrected of all?"""
    generator, n, whole = np.random.default_rng(7), len(documents.counts), over_all(documents).value
    rows: list[dict[str, float | bool | None]] = []
    for share in (8, 4, 2):
        for draw in range(n_draws):
            members = np.sort(generator.choice(n, n // share, replace=False))
            some = documents.half(members, documents.moments[members].sum(0))
            score = exponent_over_documents(cast(Any, some), seed=draw).score
            low, high = score.low, score.high
            holds = None if whole is None or low is None or high is None else low <= whole <= high
            row = {"documents": n // share, "value": score.value, "low": low, "high": high, "all": whole}
            rows.append(row | {"holds": holds})
    return rows


def z_values(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z over the sds, and over the widths of the intervals, of every split."""
    a, width_a, sd_a, b, width_b, sd_b = found.T
    return (a - b) / np.hypot(sd_a, sd_b), (a - b) / np.hypot(width_a, width_b) * NORMAL_95


def summary(found: np.ndarray) -> dict[str, float]:
    """One cell: its splits, how many are undefined, and both z."""
    z, z_interval = z_values(found)
    kept = np.isfinite(z)
    out = {"undefined": float(1 - kept.mean()), "alpha": float(np.nanmean(found[:, [0, 3]]))}
    out |= {"half_width": float(np.nanmean(found[:, [1, 4]])), "sd": float(np.nanmean(found[:, [2, 5]]))}
    for name, values in (("z", z[kept]), ("z_interval", z_interval[kept])):
        out |= {f"rms_{name}": float(np.sqrt(np.mean(values**2))), f"beyond_{name}": float(np.mean(abs(values) > 1.96))}
    return out


def measure(n_splits: int, names: tuple[str, ...], texts: tuple[str, ...], n_tokens: int | None = None) -> np.ndarray:
    """All cells, printed one by one; returns every split."""
    every = []
    for name in names:
        for text in texts:
            for site, documents in gather(name, text, n_tokens or TOKENS.get(name, OTHER_TOKENS)).items():
                found = differences(documents, n_splits)
                every.append(found)
                row = {"model": name, "text": text, "site": site, "documents": len(documents.counts)}
                row |= {"all": str(over_all(documents))}
                print(json.dumps(row | summary(found)), flush=True)
    return np.concatenate(every)


@pytest.mark.benchmark
@pytest.mark.timeout(4 * 3600)
def test_the_interval_holds_on_split_halves_of_real_text() -> None:
    z, z_interval = z_values(measure(200, tuple(LAYERS), TEXTS))
    assert np.mean(np.isnan(z)) <= 0.25
    z, z_interval = z[np.isfinite(z)], z_interval[np.isfinite(z)]
    assert 0.9 <= np.sqrt(np.mean(z**2)) <= 1.15
    assert np.mean(np.abs(z_interval) > 1.96) <= 0.07


if __name__ == "__main__":
    if sys.argv[1:2] == ["drift"]:
        for source in TEXTS:
            for name, documents in gather("embedded", source, TOKENS["embedded"]).items():
                print(json.dumps({"text": source, "site": name, "draws": drift(documents)}), flush=True)
        sys.exit()
    splits, asked, text, tokens = [*sys.argv[1:], *["200", "", "", ""][len(sys.argv) - 1 :]]
    measure(int(splits), (asked,) if asked else tuple(LAYERS), (text,) if text else TEXTS, int(tokens or 0) or None)
