"""Incidental polysemanticity: the four results of the post as one measurement [IP].

Axis glossary: ``size`` (n, m) pairs, ``noise`` distributions, ``frame`` recorded steps of the slider's model.

1. counts of polysemantic neurons against the occupancy law and n^2/4m, with the convergence gate;
2. winner-take-all: the L1 norm of a single row decays as 1/(1/sqrt(m) + lambda t);
3. the fourth norm by the kurtosis of the noise;
4. correlation with the initialisation, and whether the initially largest weight wins.
"""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from eval.experiment import mean_score, standard_error
from eval.options import chosen
from eval.progress import progress
from eval.scores import Score
from toy.configs.incidental import IncidentalOptions, parse_size
from toy.incidental.counts import count, polysemantic_count
from toy.incidental.dynamics import LAW_BAND, check_row_fits, row_decay
from toy.incidental.initialisation import initialisation
from toy.incidental.noise import EXCESS_KURTOSIS
from toy.incidental.results import DecayRate, IncidentalResult, Initialisation, Movie, NoiseNorm, RowNorm, Setting
from toy.incidental.training import IncidentalSetting, check_fits, loss, train

MOVIE_STEPS = (0, *sorted({round(20 * 1.1**k) for k in range(68)}))
INITIALISATION_SIZE = (64, 128)
NOISE_SIZE = (8, 16)
RATE_STEP, RATE_SPAN = 0.1, (0.02, 0.1)
"""Learning rate of the models whose decay is followed, and the lambda t between which it is."""


def setting_of(options: IncidentalOptions, size: tuple[int, int]) -> IncidentalSetting:
    """The chosen setting at one size."""
    names = ("l1", "noise", "noise_scale", "optimiser", "learning_rate", "weight_decay", "steps")
    return IncidentalSetting(n_features=size[0], n_hidden=size[1], **{name: getattr(options, name) for name in names})


def measure(options: IncidentalOptions | None = None, *, seed: int = 0, **changes: Any) -> IncidentalResult:
    """Everything the claims and figures need.

    Args:
        options: sizes, regulariser, noise; `changes` replace single ones (`seeds=8`).
        seed: of the first model; the others have the seeds after it.

    Raises:
        UserError: an option outside its range; models that do not fit into memory, before the first is trained;
            weights that are no longer finite.
    """
    config = chosen(IncidentalOptions, options, changes)
    check_all_fit(config)
    sizes = [parse_size(text) for text in config.sizes]
    counts, starts = [], []
    for size in progress(sizes, label="incidental: sizes"):
        models = train(setting_of(config, size), config.seeds, seed=seed)
        counts.append(count(models))
        if size == INITIALISATION_SIZE:
            starts.append(initialisation(models.initial, models.final, config.optimiser))
    starts.append(_sgd_start(config, seed))
    return IncidentalResult(
        counts=tuple(counts),
        setting=Setting(**dataclasses.asdict(setting_of(config, sizes[0]))),
        initialisation=tuple(starts),
        noise=measure_noise(config, seed),
        row=measure_row(config, seed),
        movie=measure_movie(config, seed),
        rates=measure_rates(config, seed),
    )


def check_all_fit(options: IncidentalOptions) -> None:
    """Refuse, before the first is trained, what does not fit into memory."""
    for text in options.sizes:
        check_fits(setting_of(options, parse_size(text)), options.seeds)
    check_fits(_noise_setting(options, "gaussian"), options.noise_seeds, n_snapshots=26)
    check_fits(_sgd_setting(options), options.sgd_seeds)
    n, m = parse_size(options.movie_size)
    check_fits(IncidentalSetting(n_features=n, n_hidden=m), 1, n_snapshots=len(MOVIE_STEPS))
    for l1 in options.rates:
        check_fits(_rate_setting(options, l1, 1), options.rate_seeds, n_snapshots=2)
    check_row_fits(options.row_hidden, options.row_seeds)


def _sgd_setting(options: IncidentalOptions) -> IncidentalSetting:
    n, m = INITIALISATION_SIZE
    return IncidentalSetting(
        n_features=n,
        n_hidden=m,
        l1=max(options.l1, 1e-4),
        optimiser="sgd",
        learning_rate=0.1,
        weight_decay=0.0,
        steps=options.sgd_steps,
    )


def _sgd_start(options: IncidentalOptions, seed: int) -> Initialisation:
    """The same by plain gradient descent, without weight decay."""
    models = train(_sgd_setting(options), options.sgd_seeds, seed=seed)
    return initialisation(models.initial, models.final, "sgd")


def _noise_setting(options: IncidentalOptions, kind: str) -> IncidentalSetting:
    return IncidentalSetting(
        n_features=NOISE_SIZE[0],
        n_hidden=NOISE_SIZE[1],
        l1=0.0,
        noise=kind,
        noise_scale=options.noise_scale,
        optimiser="sgd",
        learning_rate=0.02,
        weight_decay=0.0,
        steps=options.noise_steps,
    )


def measure_noise(options: IncidentalOptions, seed: int) -> tuple[NoiseNorm, ...]:
    """Mean fourth norm ||w||_4^4 of the rows after SGD with noise of each kind and no L1 (n=8, m=16)."""
    rows = []
    times = sorted({round(options.noise_steps * k / 25) for k in range(26)})
    for kind in progress(options.noises, label="incidental: noises"):
        models = train(_noise_setting(options, kind), options.noise_seeds, seed=seed, snapshot_steps=times)
        fourth = models.snapshots.double().pow(4).sum(3).mean(2)  # [snapshot model]
        final = fourth[-1].tolist()
        rows.append(
            NoiseNorm(
                kind,
                EXCESS_KURTOSIS[kind],
                steps=models.snapshot_steps,
                fourth_norm=tuple(fourth.mean(1).tolist()),
                final=mean_score(final),
                standard_error=standard_error(final),
                isotropic=3 / (NOISE_SIZE[1] + 2),
                seeds=len(final),
            )
        )
    return tuple(rows)


def measure_row(options: IncidentalOptions, seed: int) -> RowNorm:
    """The single row's L1 norm, its survivors, and how well ||w||_1 (1/sqrt(m) + lambda t) stays near one."""
    decay = row_decay(options.row_hidden, n_seeds=options.row_seeds, seed=seed)
    inside = (decay.scaled_time >= 0.003) & (decay.scaled_time <= 1)
    ratio = decay.ratio[inside]
    in_band = (ratio >= LAW_BAND[0]) & (ratio <= LAW_BAND[1])
    still = decay.l1_norm[0] * (options.row_hidden**-0.5 + decay.scaled_time[inside][:, None])
    return RowNorm(
        n_hidden=options.row_hidden,
        l1=decay.l1,
        seeds=options.row_seeds,
        scaled_time=tuple(decay.scaled_time.tolist()),
        ratio_mean=tuple(decay.ratio.mean(1).tolist()),
        ratio_low=tuple(decay.ratio.min(1).values.tolist()),
        ratio_high=tuple(decay.ratio.max(1).values.tolist()),
        l1_norm=tuple(decay.l1_norm.mean(1).tolist()),
        survivors=tuple(decay.survivors.mean(1).tolist()),
        mean_range=(float(ratio.mean(1).min()), float(ratio.mean(1).max())),
        single_range=(float(ratio.min()), float(ratio.max())),
        rows_always_inside=float(in_band.all(0).double().mean()),
        inside=float(in_band.double().mean()),
        mean_path=path_score(ratio),
        mean_path_untrained=path_score(still),
        untrained_always_inside=float(((still >= LAW_BAND[0]) & (still <= LAW_BAND[1])).all(0).double().mean()),
    )


def measure_rates(options: IncidentalOptions, seed: int) -> tuple[DecayRate, ...]:
    """How fast the rows of trained models lose their L1 norm, by lambda, at the same lambda t: from .02 to .1.

    Gradient descent without noise or weight decay, so that time is learning rate times steps. The law says
    1/||w||_1 = 1/sqrt(m) + lambda t: it grows by lambda in a unit of time, whatever the others do.
    """
    rates = []
    for l1 in options.rates:
        first, last = (max(1, round(share / (l1 * RATE_STEP))) for share in RATE_SPAN)
        models = train(_rate_setting(options, l1, last), options.rate_seeds, seed=seed, snapshot_steps=(first, last))
        inverse = 1 / models.snapshots.double().abs().sum(3).mean(2)  # [snapshot model]
        by_seed = ((inverse[-1] - inverse[0]) / ((last - first) * RATE_STEP)).tolist()
        rates.append(DecayRate(l1, tuple(by_seed), mean_score(by_seed)))
    return tuple(rates)


def _rate_setting(options: IncidentalOptions, l1: float, steps: int) -> IncidentalSetting:
    n, m = parse_size(options.rate_size)
    return IncidentalSetting(
        n_features=n, n_hidden=m, l1=l1, optimiser="sgd", learning_rate=RATE_STEP, weight_decay=0.0, steps=steps
    )


def path_score(ratio: Float[Tensor, "time model"]) -> Score:
    """A whole path as one number: its mean over rows where that is farthest from 1.

    Its interval is that time's where it lies outside the band (one time outside is enough), else the hull of the
    intervals of all times; undefined for a single row.
    """
    scores = [mean_score(row) for row in ratio.double().tolist()]
    farthest = max(scores, key=lambda score: abs((score.value or 0.0) - 1))
    if farthest.low is None or farthest.high is None:
        return farthest
    if farthest.low > LAW_BAND[1] or farthest.high < LAW_BAND[0]:
        return farthest
    return replace(farthest, low=min(one.low or 0.0 for one in scores), high=max(one.high or 0.0 for one in scores))


def measure_movie(options: IncidentalOptions, seed: int) -> Movie:
    """One model's weights over training, for the page's slider; always L1 and AdamW, from the run's seed."""
    n, m = parse_size(options.movie_size)
    setting = IncidentalSetting(n_features=n, n_hidden=m, steps=MOVIE_STEPS[-1])
    models = train(setting, 1, seed=seed, snapshot_steps=MOVIE_STEPS)
    frames = models.snapshots[:, 0]
    order = _by_owner(models.final[0])
    return Movie(
        n=n,
        m=m,
        steps=models.snapshot_steps,
        frames=tuple(tuple(round(w, 3) for w in frame[:, order].flatten().tolist()) for frame in frames),
        loss=tuple(round(float(loss(frame[None], setting.l1)), 4) for frame in frames),
        l1_norm=tuple(round(float(frame.abs().sum(1).mean()), 3) for frame in frames),
        polysemantic=tuple(polysemantic_count(frames).tolist()),
    )


def _by_owner(weights: torch.Tensor) -> torch.Tensor:
    """Neurons ordered by the first feature they end on, so that the final picture is a diagonal with its collisions."""
    owned = weights.abs() > 0.5
    first = torch.where(owned.any(0), owned.int().argmax(0), len(weights))
    return torch.argsort(first, stable=True)
