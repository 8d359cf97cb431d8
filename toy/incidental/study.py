"""Incidental polysemanticity: the four results of the post as one measurement [IP].

Axis glossary: ``size`` (n, m) pairs, ``noise`` distributions, ``frame`` recorded steps of the slider's model.

1. counts of polysemantic neurons against the occupancy law and n^2/4m, with the convergence gate;
2. winner-take-all: the L1 norm of a single row decays as 1/(1/sqrt(m) + lambda t);
3. the fourth norm by the kurtosis of the noise;
4. correlation with the initialisation, and whether the initially largest weight wins.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch

from eval.errors import UserError
from eval.progress import progress
from eval.runs import json_ready
from toy.configs.incidental import IncidentalConfig
from toy.incidental.counts import count, polysemantic_count
from toy.incidental.dynamics import row_decay
from toy.incidental.initialisation import initialisation
from toy.incidental.noise import EXCESS_KURTOSIS
from toy.incidental.training import IncidentalSetting, check_fits, loss, train

MOVIE_STEPS = (0, *sorted({round(20 * 1.1**k) for k in range(68)}))
INITIALISATION_SIZE = (64, 128)


def parse_size(text: str) -> tuple[int, int]:
    """`64x128` as (64, 128)."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise UserError(f"expected a size as FEATURESxHIDDEN; got {text!r}; write e.g. 64x128")
    return int(parts[0]), int(parts[1])


def setting_of(config: IncidentalConfig, size: tuple[int, int]) -> IncidentalSetting:
    """The configured setting at one size."""
    names = ("l1", "noise", "noise_scale", "optimiser", "learning_rate", "weight_decay", "steps")
    return IncidentalSetting(n_features=size[0], n_hidden=size[1], **{name: getattr(config, name) for name in names})


def measure(config: IncidentalConfig) -> dict[str, Any]:
    """Everything the claims and figures need, as plain JSON."""
    sizes = [parse_size(text) for text in config.sizes]
    for size in sizes:  # every size is checked before the first is trained
        setting_of(config, size).check()
        check_fits(setting_of(config, size), config.seeds)
    counts, starts = [], []
    for size in progress(sizes, label="incidental: sizes"):
        models = train(setting_of(config, size), config.seeds, seed=config.seed)
        result = count(models)
        counts.append({**dataclasses.asdict(result), "tolerance": result.tolerance, "agrees": result.agrees})
        if size == INITIALISATION_SIZE:
            starts.append(_start(config.optimiser, config, models.initial, models.final, config.seeds))
    starts.append(_sgd_start(config))
    return json_ready(
        {
            "counts": counts,
            "setting": dataclasses.asdict(setting_of(config, sizes[0])),
            "initialisation": starts,
            "noise": measure_noise(config),
            "row": measure_row(config),
            "movie": measure_movie(config),
        }
    )


def _start(name: str, config: IncidentalConfig, initial: Any, final: Any, seeds: int) -> dict[str, Any]:
    size = INITIALISATION_SIZE
    return {"optimiser": name, "n": size[0], "m": size[1], "seeds": seeds} | dataclasses.asdict(
        initialisation(initial, final)
    )


def _sgd_start(config: IncidentalConfig) -> dict[str, Any]:
    """The same by plain gradient descent, without weight decay."""
    n, m = INITIALISATION_SIZE
    setting = IncidentalSetting(
        n_features=n,
        n_hidden=m,
        l1=max(config.l1, 1e-4),
        optimiser="sgd",
        learning_rate=0.1,
        weight_decay=0.0,
        steps=config.sgd_steps,
    )
    models = train(setting, config.sgd_seeds, seed=config.seed)
    return _start("sgd", config, models.initial, models.final, config.sgd_seeds)


def measure_noise(config: IncidentalConfig) -> list[dict[str, Any]]:
    """Mean fourth norm ||w||_4^4 of the rows after SGD with noise of each kind and no L1 (n=8, m=16)."""
    rows = []
    for kind in progress(config.noises, label="incidental: noises"):
        setting = IncidentalSetting(
            n_features=8,
            n_hidden=16,
            l1=0.0,
            noise=kind,
            noise_scale=config.noise_scale,
            optimiser="sgd",
            learning_rate=0.02,
            weight_decay=0.0,
            steps=config.noise_steps,
        )
        times = sorted({round(config.noise_steps * k / 25) for k in range(26)})
        models = train(setting, config.noise_seeds, seed=config.seed, snapshot_steps=times)
        fourth = models.snapshots.double().pow(4).sum(3).mean(2)  # [snapshot model]
        rows.append(
            {
                "noise": kind,
                "excess_kurtosis": EXCESS_KURTOSIS[kind],
                "steps": list(models.snapshot_steps),
                "fourth_norm": fourth.mean(1).tolist(),
                "final": float(fourth[-1].mean()),
                "standard_error": float(fourth[-1].std() / math.sqrt(len(models.seeds))),
                "isotropic": 3 / (16 + 2),
                "seeds": len(models.seeds),
            }
        )
    return rows


def measure_row(config: IncidentalConfig) -> dict[str, Any]:
    """The single row's L1 norm, its survivors, and how well ||w||_1 (1/sqrt(m) + lambda t) stays near one."""
    decay = row_decay(config.row_hidden, n_seeds=config.row_seeds, seed=config.seed)
    inside = (decay.scaled_time >= 0.003) & (decay.scaled_time <= 1)
    ratio = decay.ratio[inside]
    in_band = (ratio >= 0.85) & (ratio <= 1.5)
    return {
        "n_hidden": config.row_hidden,
        "l1": decay.l1,
        "seeds": config.row_seeds,
        "scaled_time": decay.scaled_time.tolist(),
        "ratio_mean": decay.ratio.mean(1).tolist(),
        "ratio_low": decay.ratio.min(1).values.tolist(),
        "ratio_high": decay.ratio.max(1).values.tolist(),
        "l1_norm": decay.l1_norm.mean(1).tolist(),
        "survivors": decay.survivors.mean(1).tolist(),
        "mean_range": [float(ratio.mean(1).min()), float(ratio.mean(1).max())],
        "single_range": [float(ratio.min()), float(ratio.max())],
        "rows_always_inside": float(in_band.all(0).double().mean()),
        "inside": float(in_band.double().mean()),
    }


def measure_movie(config: IncidentalConfig) -> dict[str, Any]:
    """One model's weights over training, for the page's slider; always L1 and AdamW, from the run's seed."""
    n, m = parse_size(config.movie_size)
    setting = IncidentalSetting(n_features=n, n_hidden=m, steps=MOVIE_STEPS[-1])
    models = train(setting, 1, seed=config.seed, snapshot_steps=MOVIE_STEPS)
    frames = models.snapshots[:, 0]
    order = _by_owner(models.final[0])
    return {
        "n": n,
        "m": m,
        "steps": list(models.snapshot_steps),
        "frames": [[round(w, 3) for w in frame[:, order].flatten().tolist()] for frame in frames],
        "loss": [round(float(loss(frame[None], setting.l1)), 4) for frame in frames],
        "l1_norm": [round(float(frame.abs().sum(1).mean()), 3) for frame in frames],
        "polysemantic": polysemantic_count(frames).tolist(),
    }


def _by_owner(weights: torch.Tensor) -> torch.Tensor:
    """Neurons ordered by the first feature they end on, so that the final picture is a diagonal with its collisions."""
    owned = weights.abs() > 0.5
    first = torch.where(owned.any(0), owned.int().argmax(0), len(weights))
    return torch.argsort(first, stable=True)
