"""`python -m vision_codes polytopes`."""

from __future__ import annotations

from eval.pieces import Pieces
from eval.runs import Run
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.inputs import open_inputs
from vision_codes.lenses.polytopes.chapter import write_page
from vision_codes.lenses.polytopes.claims import documented
from vision_codes.lenses.polytopes.results import ResultsFile
from vision_codes.lenses.polytopes.study import STUDY, polytopes
from vision_codes.models import load_model


def command(config: PolytopesConfig, run: Run) -> str:
    """Open, measure, draw, write; returns the short table."""
    model = load_model(config.model, image_size=config.image_size, seed=config.seed)
    inputs = open_inputs(config.inputs, seed=config.seed, channels=len(model.mean), reader=config.model)
    run.inputs(model=model.hash, images=inputs.hash)
    slicing = load_model(config.model, image_size=config.slice_size, seed=config.seed) if config.slice_size else None
    images, names = inputs.shown, inputs.found.class_names
    found, artefacts = polytopes(model, images, inputs.labels, config, slicing, Pieces(run, STUDY))
    judged = documented(found, artefacts.trends)
    results = ResultsFile(found, judged, {**inputs.found.provenance, "used": len(images)})
    whole = run.finish(results.to_json(), model=model.provenance(), images=inputs.provenance())
    return write_page(run, whole, artefacts, images, names)
