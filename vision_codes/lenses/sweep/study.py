"""What does dropout do to a code? Train a set of networks that differ in dropout only, analyse each, test the paper.

    for every seed, and in it one untrained network and every dropout:
        train (shared initial weights within a seed)  ->  models/<name>/
        spectra over images, random pixels, phase-scrambled images; projections of a moving dot and a drifting grating

Training and analysis of a network are resumable items, seed by seed, so that `report` can draw an unfinished sweep;
training itself resumes from its checkpoint. [MK Fig. 3 to 6]
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from eval.options import chosen
from eval.processes import world_size
from eval.runs import Run
from vision_codes import checkpoints
from vision_codes.configs.dropout_sweep import AnalysisOptions, DropoutSweepConfig
from vision_codes.configs.projections import ProjectionsOptions, StimulusOptions
from vision_codes.configs.spectra import SpectraOptions
from vision_codes.configs.train import Recipe, RecipeOptions
from vision_codes.data import ImageSet
from vision_codes.image_batches import Images as HeldOut
from vision_codes.inputs import Inputs, open_pair
from vision_codes.lenses.projections.study import projections
from vision_codes.lenses.spectra.study import spectra
from vision_codes.lenses.sweep.results import Analysed, Reconstructed, Trained
from vision_codes.lenses.training.reconstructions import quality
from vision_codes.lenses.training.study import architecture_of, initial_model, train
from vision_codes.resnet_vae import ResNetVAE
from vision_codes.stimuli import phase_scrambled, random_images

DRAWN_SEED = 0
STUDY = (__name__,)
Images = UInt8[np.ndarray, "image channel height width"]
Pair = tuple[ImageSet, ImageSet]


def item_name(dropout: float | None, seed: int) -> str:
    """Name of a network in files: ``dropout=0.2,seed=1``, or ``untrained,seed=1``."""
    if dropout is None:
        return f"untrained,seed={seed}"
    return f"dropout={dropout:g},seed={seed}"


@functools.lru_cache(maxsize=1)
def sweep_inputs(recipe: RecipeOptions, seed: int) -> tuple[Inputs, Inputs]:
    """Training and held-out images of a sweep; read once in every process (a folder of images takes long)."""
    return open_pair(recipe, seed=seed)


def train_one(config: DropoutSweepConfig, data: Pair, dropout: float, seed: int, run: Run) -> Trained:
    """Train (or finish) one network of the sweep; its history and where its initial weights came from."""
    architecture = architecture_of(config.recipe, data[0].channels, dropout)
    model, origin = initial_model(config.recipe, architecture, seed)
    folder = run.path(f"models/{item_name(dropout, seed)}")
    folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe.of(config.recipe, seed=seed, device=config.device)
    history = train(model, *data, recipe, Run(folder))
    return Trained(dropout, seed, tuple(history), origin)


def reconstruct_one(config: DropoutSweepConfig, data: Pair, dropout: float, seed: int, run: Run) -> Reconstructed:
    """How good the held-out reconstructions of one trained network are."""
    model = checkpoints.load_model(run.path(f"models/{item_name(dropout, seed)}"), config.device)
    held_out = HeldOut(data[1].images, model.architecture.image_size, model.architecture.channels)
    return Reconstructed(dropout, seed, quality(model, held_out))


def analyse(
    model: ResNetVAE,
    images: Images,
    options: AnalysisOptions | None = None,
    *,
    dropout: float | None = None,
    seed: int = 0,
    draw_seed: int = 0,
    **changes: object,
) -> tuple[Analysed, dict[str, np.ndarray]]:
    """Spectra (images and two controls without structure) and projections (dot, grating) of one network.

    Args:
        dropout, seed: of the network (they name the result). draw_seed: of the controls, the choice of units and the
            projections. ``changes`` are single options by name.

    Returns:
        The rows, and arrays: ``spectrum|<site>`` eigenvalues, ``drawn|<site>`` trajectories of the dot.
    """
    options = chosen(AnalysisOptions, options, dict(changes))
    settings = SpectraOptions(max_units=options.max_units, max_memory_gb=None)
    found = spectra(model, images, settings, seed=draw_seed)
    shown = images[: options.control_images or None]
    architecture = model.architecture
    random = random_images(len(shown), architecture.channels, architecture.image_size, draw_seed)
    of_random, of_scrambled = (
        spectra(model, control, settings, correct=False, seed=draw_seed).sites
        for control in (random, phase_scrambled(shown, draw_seed))
    )
    dot = projections(model, "dot", frames=options.frames, projections=options.projections, seed=draw_seed)
    few = ProjectionsOptions(projections=options.projections // 5, refinements=())
    # the grating is a check on the dot: fewer draws, no refinement
    grating = projections(model, StimulusOptions(stimulus="grating", frames=options.frames), few, seed=draw_seed)
    arrays = {f"spectrum|{site}": values for site, values in found.eigenvalues.items()}
    arrays |= {f"drawn|{site}": path for site, path in dot.drawn().items()}
    rows = Analysed(dropout, seed, found.sites, of_random, of_scrambled, dot.sites, grating.sites)
    return rows, arrays


def analyse_one(config: DropoutSweepConfig, data: Pair, dropout: float | None, seed: int, run: Run) -> Analysed:
    """Analyse one network of the sweep (dropout None: the untrained one of the seed), keep its arrays."""
    if dropout is None:
        architecture = architecture_of(config.recipe, data[0].channels, 0.0)
        model = initial_model(config.recipe, architecture, seed)[0].to(checkpoints.resolve_device(config.device)).eval()
    else:
        model = checkpoints.load_model(run.path(f"models/{item_name(dropout, seed)}"), config.device)
    images = sweep_images(config, data)
    rows, arrays = analyse(model, images, config.analysis, dropout=dropout, seed=seed, draw_seed=config.seed)
    run.write_arrays(item_name(dropout, seed), **arrays)
    return rows


def train_and_analyse(config: DropoutSweepConfig, dropout: float | None, seed: int, folder: Path) -> None:
    """One network of the sweep, in whichever process; its parts are items of the run, so nothing is done twice."""
    run, name = Run(folder), item_name(dropout, seed)
    training, held_out = sweep_inputs(config.recipe, config.seed)
    data = training.found, held_out.found

    if dropout is not None:
        trained = functools.partial(train_one, config, data, dropout, seed, run)
        run.item(f"training {name}", lambda: trained().to_json(), of=STUDY)
        drawn = functools.partial(reconstruct_one, config, data, dropout, seed, run)
        run.item(f"reconstruction {name}", lambda: drawn().to_json(), of=STUDY)
    run.item(f"analysis {name}", lambda: analyse_one(config, data, dropout, seed, run).to_json(), of=STUDY)


def n_jobs(config: DropoutSweepConfig, cores: int) -> int:
    """Networks at once: as asked, or one per core; one where a GPU or ``torchrun`` does the work."""
    if world_size() > 1:
        return 1
    return config.jobs or (1 if config.device.startswith("cuda") else cores)


def sweep_images(config: DropoutSweepConfig, data: Pair) -> Images:
    """Images of the spectra: training and held-out ones together, as many as asked for, by seed."""
    images = np.concatenate([part.images for part in data])
    n = config.analysis.spectra_images or len(images)
    return images[np.sort(np.random.default_rng(config.seed).permutation(len(images))[:n])]
