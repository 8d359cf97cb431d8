"""`python -m vision_codes unwrap`."""

from __future__ import annotations

from eval.pieces import Pieces
from eval.progress import progress
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from vision_codes.configs.unwrap import UnwrapConfig
from vision_codes.lenses.unwrap.chapter import add_chapter
from vision_codes.lenses.unwrap.claims import claims_of, summary_rows
from vision_codes.lenses.unwrap.digits import open_digits
from vision_codes.lenses.unwrap.figures import draw
from vision_codes.lenses.unwrap.results import SeedResult, UnwrapResults
from vision_codes.lenses.unwrap.study import STUDY, Unwrapped, unwrap


def command(config: UnwrapConfig, run: Run) -> str:
    """Seed by seed, each piece kept as it is done; the figures are those of the first seed."""
    opened = open_digits(config.data, config.seed)
    run.inputs(images=opened.hash)
    pieces = Pieces(run, STUDY)

    def one(seed: int) -> Unwrapped:
        digits = opened if seed == config.seed else open_digits(config.data, seed)
        return unwrap(digits.standardised(), config, seed, pieces.below(f"seed-{seed}-"))

    shown, seeds = None, []
    for seed in progress(range(config.seed, config.seed + config.seeds), label="seeds", total=config.seeds):
        if shown is None:
            shown = one(seed)
            seeds.append(shown.measured)
        else:
            seeds.append(pieces.item(f"seed-{seed}", SeedResult, lambda seed=seed: one(seed).measured))
    assert shown is not None, "a configuration has at least one seed"
    rows = [seed.to_json() for seed in seeds]
    claims = claims_of(rows)
    results = UnwrapResults(summary_rows(rows), tuple(seeds), tuple(claims)).to_json()
    page = Page("MNIST unwrapped", "A four-layer ReLU network run on sparse features and sparse connectors")
    add_chapter(page, results, draw(run, shown), claims)
    page.write(run)
    run.finish(results, data=opened.training.found.provenance, images=opened.training.provenance())
    return text_table(results["summary"])
