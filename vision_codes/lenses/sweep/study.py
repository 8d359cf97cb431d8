"""What does dropout do to a code? Train a set of networks that differ in dropout only, analyse each, test the paper.

    for every seed, and in it one untrained network and every dropout:
        train (shared initial weights within a seed)  ->  models/<name>/
        spectra over images, random pixels, phase-scrambled images; projections of a moving dot and a drifting grating

Training and analysis of a network are resumable items, seed by seed, so that `report` can draw an unfinished sweep;
training itself resumes from its checkpoint. [MK Fig. 3 to 6]
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from eval.errors import UserError
from eval.processes import world_size
from eval.runs import Run
from vision_codes import checkpoints
from vision_codes.configs.dropout_sweep import DropoutSweepConfig
from vision_codes.data import ImageSet
from vision_codes.image_batches import Images as HeldOut
from vision_codes.lenses.projections.study import projections
from vision_codes.lenses.spectra.study import spectra
from vision_codes.lenses.training.reconstructions import quality
from vision_codes.lenses.training.study import Recipe, architecture_of, initial_model, load_data, train
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.stimuli import phase_scrambled, random_images

DRAWN_SEED = 0
RECIPE_FIELDS = (
    "preset",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "loss",
    "kl_weight",
    "recalibrate",
    "pretrained",
)
Images = UInt8[np.ndarray, "image channel height width"]


@dataclass(frozen=True)
class Analysis:
    """How each network of a sweep is analysed; fields as in ``DropoutSweepConfig``."""

    n_controls: int = 1000
    frames: int = 200
    projections: int = 1000
    max_units: int = 8000
    seed: int = 0


def item_name(dropout: float | None, seed: int) -> str:
    """Name of a network in files: ``dropout=0.2,seed=1``, or ``untrained,seed=1``."""
    if dropout is None:
        return f"untrained,seed={seed}"
    return f"dropout={dropout:g},seed={seed}"


@functools.lru_cache(maxsize=1)
def sweep_data(config: DropoutSweepConfig) -> tuple[ImageSet, ImageSet]:
    """Training and held-out images, read once in every process (a folder of images takes long)."""
    return load_data(config)


def train_one(
    config: DropoutSweepConfig, data: tuple[ImageSet, ImageSet], dropout: float, seed: int, run: Run
) -> dict[str, Any]:
    """Train (or finish) one network of the sweep; its history and where its initial weights came from."""
    architecture = architecture_of(config, data[0].channels, dropout)
    model, origin = initial_model(config, architecture, seed)
    folder = run.path(f"models/{item_name(dropout, seed)}")
    folder.mkdir(parents=True, exist_ok=True)
    history = train(model, *data, Recipe.from_config(config, seed), Run(folder))
    return {"dropout": dropout, "seed": seed, "history": history, "initial_weights": origin}


def reconstruct_one(
    config: DropoutSweepConfig, data: tuple[ImageSet, ImageSet], dropout: float, seed: int, run: Run
) -> dict[str, Any]:
    """How good the held-out reconstructions of one trained network are."""
    model = checkpoints.load_model(run.path(f"models/{item_name(dropout, seed)}"), config.device)
    held_out = HeldOut(data[1].images, model.architecture.image_size, model.architecture.channels)
    return {"dropout": dropout, "seed": seed, **quality(model, held_out)}


def analyse(model: ResNetVAE, images: Images, settings: Analysis) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Spectra (images and two controls without structure) and projections (dot, grating) of one network.

    Returns JSON rows by kind, and arrays: ``spectrum|<site>`` eigenvalues, ``drawn|<site>`` trajectories of the dot.
    """
    found = spectra(model, images, max_units=settings.max_units, seed=settings.seed)
    controls = images[: settings.n_controls or None]
    architecture = model.architecture
    size, channels = architecture.image_size, architecture.channels
    without = {
        "random": random_images(len(controls), channels, size, settings.seed),
        "phase_scrambled": phase_scrambled(controls, settings.seed),
    }
    rows: dict[str, Any] = {"spectra": found.rows}
    for name, control in without.items():
        control_spectra = spectra(model, control, max_units=settings.max_units, correct=False, seed=settings.seed)
        rows[f"spectra_{name}"] = control_spectra.rows
    arrays = {f"spectrum|{site}": values for site, values in found.eigenvalues.items()}
    options: dict[str, Any] = {"n_frames": settings.frames, "seed": settings.seed}
    rows["dot"], paths = projections(model, "dot", n_projections=settings.projections, **options)
    few = max(1, settings.projections // 5)  # the grating is a check on the dot: fewer draws, no refinement
    rows["grating"], _ = projections(model, "grating", n_projections=few, refinements=(), **options)
    drawn = {name: path for name, path in paths.items() if name.endswith("/drawn")}
    arrays |= {f"drawn|{name.removesuffix('/drawn')}": path for name, path in drawn.items()}
    return rows, arrays


def analyse_one(
    config: DropoutSweepConfig, data: tuple[ImageSet, ImageSet], dropout: float | None, seed: int, run: Run
) -> dict[str, Any]:
    """Analyse one network of the sweep (dropout None: the untrained one of the seed), keep its arrays."""
    if dropout is None:
        model = initial_model(config, architecture_of(config, data[0].channels, 0.0), seed)[0].eval()
    else:
        model = checkpoints.load_model(run.path(f"models/{item_name(dropout, seed)}"), config.device)
    settings = Analysis(config.n_controls, config.frames, config.projections, config.max_units, config.seed)
    rows, arrays = analyse(model, sweep_images(config, data), settings)
    run.write_arrays(item_name(dropout, seed), **arrays)
    return {"dropout": dropout, "seed": seed, **rows}


def train_and_analyse(config: DropoutSweepConfig, dropout: float | None, seed: int, folder: Path) -> None:
    """One network of the sweep, in whichever process; its parts are items of the run, so nothing is done twice."""
    run, name = Run(folder), item_name(dropout, seed)
    data = sweep_data(config)
    if dropout is not None:
        run.item(f"training {name}", functools.partial(train_one, config, data, dropout, seed, run))
        run.item(f"reconstruction {name}", functools.partial(reconstruct_one, config, data, dropout, seed, run))
    run.item(f"analysis {name}", functools.partial(analyse_one, config, data, dropout, seed, run))


def n_jobs(config: DropoutSweepConfig, cores: int) -> int:
    """Networks at once: as asked, or one per core; one where a GPU or ``torchrun`` does the work."""
    if config.jobs < 0:
        raise UserError(f"expected jobs of at least 0; got {config.jobs}; 0 takes one per core")
    if world_size() > 1:
        return 1
    return config.jobs or (1 if config.device.startswith("cuda") else cores)


def sweep_images(config: DropoutSweepConfig, data: tuple[ImageSet, ImageSet]) -> Images:
    """Images of the spectra: training and held-out ones together, ``n_spectra`` of them by seed."""
    images = np.concatenate([part.images for part in data])
    n = config.n_spectra or len(images)
    return images[np.sort(np.random.default_rng(config.seed).permutation(len(images))[:n])]
