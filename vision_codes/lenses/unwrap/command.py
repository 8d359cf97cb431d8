"""`python -m vision_codes unwrap`."""

from __future__ import annotations

from typing import Any

from eval.errors import UserError
from eval.progress import progress
from eval.report.page import Page
from eval.report.tables import text_table
from eval.result_json import to_json
from eval.runs import Run
from vision_codes.configs.unwrap import UnwrapConfig
from vision_codes.lenses.unwrap.chapter import add_chapter
from vision_codes.lenses.unwrap.claims import claims_of, summary_rows
from vision_codes.lenses.unwrap.figures import draw
from vision_codes.lenses.unwrap.study import Digits, Unwrapped, load_digits, unwrap


def command(config: UnwrapConfig, run: Run) -> str:
    """`python -m vision_codes unwrap`."""
    if len(config.active) != 3:
        raise UserError(f"expected three numbers in --active, one per hidden layer; got {config.active}; e.g. 32,32,32")
    rows, provenance, shown = [], {}, None
    for seed in progress(range(config.seed, config.seed + config.seeds), label="seeds", total=config.seeds):
        digits, provenance = load_digits(config.dataset, seed)
        kept: list[Unwrapped] = []

        def compute(digits: Digits = digits, seed: int = seed, kept: list[Unwrapped] = kept) -> dict[str, Any]:
            kept.append(unwrap(digits, config, seed))
            return kept[0].measured

        rows.append(run.item(f"seed-{seed}", compute))
        if kept and shown is None:
            shown = kept[0]
            figures = draw(run, shown)
    claims = claims_of(rows)
    results = {"summary": to_json(summary_rows(rows)), "seeds": rows, "claims": [claim.as_json() for claim in claims]}
    page = Page("MNIST unwrapped", "A four-layer ReLU network run on sparse features and sparse connectors")
    add_chapter(page, results, figures if shown is not None else {}, claims)
    page.write(run)
    run.finish(results, data=provenance)
    return text_table(results["summary"])
