"""Models or checkpoints on one corpus, side by side: alpha by relative depth, and differences with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.errors import UserError
from eval.measures.spectra.alpha_interval import WARN_TOKENS_PER_WIDTH
from eval.measures.spectra.document_difference import paired_difference
from eval.measures.statistics.resampling import holm
from eval.report.page import Page
from eval.runs import Run
from eval.scores import Score
from llm_codes.lenses.spectra.compared_figures import draw
from llm_codes.lenses.spectra.compared_runs import SpectraRun, as_run, check_comparable, read_run, same_documents
from llm_codes.lenses.spectra.rows import ComparedAlpha, ComparedRun, ComparedSite, Comparison, SiteSpectrum

if TYPE_CHECKING:
    from llm_codes.configs.compare import CompareConfig

__all__ = ["compare", "difference", "read_run"]

NORMAL_95 = 1.959963984540054


def difference(a: Score, b: Score) -> tuple[Score, float | None]:
    """b - a with a 95% interval and a two-sided p, the two errors taken as independent.

    Where both runs read the same documents their errors are positively correlated, if they are correlated at all: the
    interval errs on the wide side.
    """
    if a.value is None or b.value is None:
        return Score.undefined("; ".join(filter(None, (a.reason, b.reason)))), None
    if a.interval is None or b.interval is None:
        return Score(b.value - a.value, interval_reason="an interval is missing on one side"), None
    halves = [(score.interval[1] - score.interval[0]) / 2 for score in (a, b) if score.interval]
    half = math.hypot(*halves)
    value = b.value - a.value
    p = math.erfc(abs(value) / (half / NORMAL_95) / math.sqrt(2)) if half > 0 else float(value == 0)
    return Score(value, value - half, value + half), p


def site_difference(a: SiteSpectrum, b: SiteSpectrum, *, same_text: bool) -> tuple[Score, float | None, bool]:
    """b - a of two sites, its p, and whether it is paired: over halves of the same documents, where both sides kept
    theirs."""
    first, second = a.alpha_corrected.value, b.alpha_corrected.value
    groups, others = ((site.correction or {}).get("document_groups") for site in (a, b))
    kept = a.document_halves is not None and b.document_halves is not None and groups == others
    if not (same_text and kept) or groups is None or first is None or second is None:
        return *difference(a.alpha_corrected, b.alpha_corrected), False
    spanned = [second - first]
    fair = all(site.tokens_per_width >= WARN_TOKENS_PER_WIDTH for site in (a, b))
    if fair and a.alpha is not None and b.alpha is not None:
        spanned.append(b.alpha - a.alpha)
    here, there = (np.asarray(site.document_halves, dtype=float) for site in (a, b))
    return *paired_difference(here, there, spanned, int(groups), n_documents=a.n_documents), True


def relative_depth(site: SiteSpectrum, n_layers: int) -> float:
    """0 at the first block, 1 at the last."""
    return site.layer / max(1, n_layers - 1)


def compare(first: Any, second: Any, *more: Any) -> Comparison:
    """Every run beside the first: each site with the site at the nearest relative depth, alpha of both, the difference.

        compare("runs/a", "runs/b")                  # run folders of `spectra` or `report`
        compare(spectra(model, corpus), spectra(untrained_like(model), corpus)).plot()

    Where two runs read the same tokens the difference is paired: its interval is over halves of the same documents
    (`eval.measures.spectra.document_difference`). `p_holm` is corrected over all rows (Holm).

    Args:
        first, second, more: run folders, what `read_run` gives, or results of `spectra`; in the order of the series.

    Raises:
        UserError: other texts or another measurement (named), or no kind of site in common.
    """
    runs = [as_run(one) for one in (first, second, *more)]
    for other in runs[1:]:
        check_comparable(runs[0], other)
    rows = [
        row
        for letter, other in zip(_letters(len(runs))[1:], runs[1:], strict=True)
        for row in _rows(runs[0], other, letter)
    ]
    return Comparison(tuple(_corrected(rows)), tuple(map(_shown, _letters(len(runs)), runs)))


def _letters(count: int) -> list[str]:
    """A, B, ..., Z, then numbers."""
    return [ascii_uppercase[number] if number < 26 else str(number + 1) for number in range(count)]


def _rows(a: SpectraRun, b: SpectraRun, letter: str) -> list[ComparedSite]:
    rows: list[ComparedSite] = []
    same_text = same_documents(a, b)
    for site in a.sites:
        depth = relative_depth(site, a.n_layers)
        partners = [other for other in b.sites if other.kind == site.kind]
        if not partners:
            continue
        partner = min(partners, key=lambda other: abs(relative_depth(other, b.n_layers) - depth))
        score, p, paired = site_difference(site, partner, same_text=same_text)
        alphas = (site.alpha_corrected.value, partner.alpha_corrected.value)
        where = (site.kind, site.layer, partner.layer, depth)
        rows.append(ComparedSite(*where, *alphas, score, p, run=letter, paired=paired))
    if not rows:
        raise UserError("the two runs have no kind of site in common; measure the same --sites in both")
    return rows


def _shown(letter: str, run: SpectraRun) -> ComparedRun:
    sites = (
        ComparedAlpha(site.kind, site.layer, relative_depth(site, run.n_layers), site.alpha_corrected)
        for site in run.sites
    )
    return ComparedRun(letter, run.label, tuple(sites))


def _corrected(rows: Sequence[ComparedSite]) -> list[ComparedSite]:
    values = [row.p for row in rows if row.p is not None]
    adjusted = iter(holm(np.array(values, dtype=float)) if values else ())
    return [row if row.p is None else replace(row, p_holm=float(next(adjusted))) for row in rows]


def command(config: CompareConfig, run: Run) -> str:
    """`python -m llm_codes compare RUN_A RUN_B [RUN_C ...]`."""
    runs = [read_run(folder) for folder in (config.run_a, config.run_b, *config.more)]
    compared = compare(*runs)
    run.write_text("tables/compare.csv", compared.to_csv())
    names = [found.of("model")["name"] for found in runs]
    title = f"{names[0]} against {names[1]}" if len(runs) == 2 else f"{len(runs)} runs"
    page = Page(title, "alpha by depth on one corpus; differences are of each run less the first")
    section = page.section("Alpha by depth")
    for figure in draw(run, compared):
        section = section.figure(figure)
    section.table(compared.rows())
    page.write(run)
    run.finish(
        compared.to_json(),
        runs={letter.lower(): one.provenance for letter, one in zip(_letters(len(runs)), runs, strict=True)},
    )
    return compared.text()
