"""`python -m vision_codes polytopes`."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.runs import Run
from vision_codes.configs.polytopes import PolytopesConfig
from vision_codes.data import load_images
from vision_codes.lenses.polytopes.chapter import write_page
from vision_codes.lenses.polytopes.claims import documented
from vision_codes.lenses.polytopes.results import ResultsFile
from vision_codes.lenses.polytopes.study import polytopes
from vision_codes.models import load_model


def balanced(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` images evenly over classes (fewer where there are fewer), in order."""
    generator = np.random.default_rng(seed)
    queues = [list(generator.permutation(np.flatnonzero(labels == c))) for c in np.unique(labels)]
    chosen: list[int] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(int(queue.pop()))
    return np.sort(np.array(chosen))


def command(config: PolytopesConfig, run: Run) -> str:
    """Load, measure, draw, write; returns the short table."""
    data = load_images(config.data, split=config.split, seed=config.seed)
    chosen = balanced(data.labels, config.images, config.seed)
    images, labels = data.images[chosen], data.labels[chosen]
    model = load_model(config.model, image_size=config.image_size, seed=config.seed)
    slicing: Any = (
        load_model(config.model, image_size=config.slice_size, seed=config.seed) if config.slice_size else None
    )
    found, artefacts = polytopes(model, images, labels, config, slicing)
    judged = documented(found, artefacts.trend)
    results = ResultsFile(found, judged, {**data.provenance, "used": len(images)})
    whole = run.finish(results.to_json(), model=model.provenance())
    return write_page(run, whole, artefacts, images, data.class_names)
