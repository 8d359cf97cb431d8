"""Information through depth under dropout, in bits, against C(1-D)^N and C(1-D) [MK supplement].

Axis glossary: ``condition`` (with dropout, without dropout, untrained), ``layer`` depth, ``seed`` networks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from eval.experiment import combined, standard_error
from eval.measures.information import ESTIMATORS, estimate_information
from eval.measures.information.critics import NetworkOptions
from eval.options import chosen
from eval.progress import progress
from eval.scores import Score
from toy.configs.dropout_channel import DropoutChannelOptions
from toy.dropout_channel.network import DeepNetworks, DeepSetting, check_fits, messages_of, train
from toy.dropout_channel.results import DropoutChannelResult, InformationCurve, SelfTest
from toy.safeguards import check_memory, limited_threads, seed_range

CONDITIONS = ("with dropout", "without dropout", "untrained")
SELF_TEST_NATS = 2.0
SELF_TEST_DIMENSIONS = 3


def setting_of(options: DropoutChannelOptions) -> DeepSetting:
    """Sizes and training of the networks."""
    return DeepSetting(
        n_bits=options.bits,
        width=options.width,
        n_layers=options.layers,
        dropout=options.dropout,
        steps=options.steps,
        learning_rate=options.learning_rate,
    )


def measure(options: DropoutChannelOptions | None = None, *, seed: int = 0, **changes: Any) -> DropoutChannelResult:
    """Everything the claims and figures need.

    Args:
        options: network, estimate, self-tests; `changes` replace single ones (`layers=6`).
        seed: of the first network; the others have the seeds after it.

    Raises:
        UserError: an option outside its range; what does not fit into memory, before any work; weights that are no
            longer finite.
    """
    config = chosen(DropoutChannelOptions, options, changes)
    setting = setting_of(config)
    check_fits(setting, 2 * config.seeds)
    check_samples_fit(config)
    seeds = seed_range(seed, config.seeds)
    untrained, trained = train(setting, [*seeds, *seeds], [True] * len(seeds) + [False] * len(seeds), seed=seed)
    depths = tuple(sorted({round(d) for d in np.linspace(0, config.layers, config.depths)}))
    keep = 1 - config.dropout
    with limited_threads(1):
        curves = {name: measure_curve(config, name, untrained, trained, depths, seed) for name in CONDITIONS}
        self_tests = measure_self_tests(config, seed)
    return DropoutChannelResult(
        bits=config.bits,
        width=config.width,
        layers=config.layers,
        dropout=config.dropout,
        seeds=config.seeds,
        estimator=config.estimator,
        depths=depths,
        curves=curves,
        uncorrected=tuple(config.bits * keep ** (n + 1) for n in depths),
        corrected=(min(config.bits, config.width * keep),) * len(depths),
        ceiling=min(config.bits, config.width * keep),
        self_tests=self_tests,
    )


def check_samples_fit(options: DropoutChannelOptions) -> None:
    """Refuse, before any work, messages and self-test pairs that do not fit into memory."""
    per_message = options.bits * 12 + (options.layers + 1) * options.width * 4 * 3
    check_memory(float(2 * options.seeds * options.samples * per_message), f"{options.samples} messages")
    pairs = options.self_test_samples
    check_memory(float(pairs * SELF_TEST_DIMENSIONS * 8 * 8), f"{pairs} self-test pairs")


def measure_curve(
    config: DropoutChannelOptions,
    condition: str,
    untrained: DeepNetworks,
    trained: DeepNetworks,
    depths: tuple[int, ...],
    seed: int,
) -> InformationCurve:
    """Information at every depth in the networks of one condition, over seeds."""
    networks = untrained if condition == "untrained" else trained
    first = config.seeds if condition == "without dropout" else 0
    generator = torch.Generator().manual_seed(seed + 15_485_863)
    n_models = len(networks.encoder)
    messages = messages_of(n_models, config.samples, config.bits, generator)
    codes = networks.codes(messages, torch.full((n_models, 1, 1), config.dropout), generator)
    rows = [
        [_information(config, messages[model], codes[depth][model], seed) for depth in depths]
        for model in progress(range(first, first + config.seeds), label=f"dropout channel: {condition}")
    ]
    values = np.array([[value for value, _ in line] for line in rows])
    within = np.sqrt(np.mean([[error**2 for _, error in line] for line in rows], axis=0) / len(rows))
    between = [standard_error(column.tolist()) for column in values.T]
    return InformationCurve(
        by_seed=tuple(map(tuple, values.tolist())),
        mean=tuple(values.mean(0).tolist()),
        standard_error=tuple(combined(a, float(b)) for a, b in zip(between, within, strict=True)),
    )


def _information(
    config: DropoutChannelOptions, messages: torch.Tensor, codes: torch.Tensor, seed: int
) -> tuple[float, float]:
    """Bits that the code tells of the message as estimated, in no range (a bound below 0 averages with the others), and
    the standard error of the estimate."""
    estimate = estimate_information(
        ((messages + 1) / 2).long().numpy(),
        codes.numpy(),
        estimator=config.estimator,
        entropy=config.bits,
        options=NetworkOptions(steps=config.decoder_steps),
        seed=seed,
    )
    return estimate.raw, estimate.standard_error


def measure_self_tests(config: DropoutChannelOptions, seed: int) -> tuple[SelfTest, ...]:
    """Correlated Gaussians with 2 nats in three dimensions: value, scaled by .001, shuffled; and bits without noise."""
    correlation = math.sqrt(1 - math.exp(-2 * SELF_TEST_NATS / SELF_TEST_DIMENSIONS))
    generator = np.random.default_rng(seed)
    x, noise = generator.standard_normal((2, config.self_test_samples, SELF_TEST_DIMENSIONS))
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    bits = generator.integers(2, size=(2000, 3))
    return tuple(_self_test(name, x, y, bits, generator, config.self_test_steps) for name in ESTIMATORS)


def _self_test(
    name: str, x: np.ndarray, y: np.ndarray, bits: np.ndarray, generator: np.random.Generator, steps: int
) -> SelfTest:
    options = NetworkOptions(steps=steps)
    entropy = SELF_TEST_DIMENSIONS / 2 * math.log(2 * math.pi * math.e)

    def nats(code: np.ndarray) -> tuple[Score, float]:
        estimate = estimate_information(x, code, estimator=name, entropy=entropy, units="nats", options=options)
        return estimate.score, estimate.standard_error

    plain, error = nats(y)
    scaled = nats(y * 1e-3)[0].value if name in ("decoder", "mine") else None
    shuffled = estimate_information(
        x[:8000], generator.permutation(y)[:8000], estimator=name, entropy=entropy, units="nats", options=options
    )
    code = 2.0 * bits + generator.normal(0, 1e-3, bits.shape)
    certain = estimate_information(bits, code, estimator=name, entropy=3, options=options)
    return SelfTest(
        estimator=name,
        nats=plain,
        standard_error=error,
        nats_scaled=scaled,
        nats_shuffled=shuffled.raw,
        bits=certain.score.value,
        bits_raw=certain.raw if math.isfinite(certain.raw) else None,
        bits_standard_error=certain.standard_error if math.isfinite(certain.standard_error) else None,
    )
