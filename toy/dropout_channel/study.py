"""Information through depth under dropout, in bits, against C(1-D)^N and C(1-D) [MK supplement].

Axis glossary: ``condition`` (with dropout, without dropout, untrained), ``layer`` depth, ``seed`` networks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from eval.errors import known_name
from eval.measures.information import ESTIMATORS, estimate_information
from eval.measures.information.critics import NetworkOptions
from eval.progress import progress
from eval.runs import json_ready
from toy.configs.dropout_channel import DropoutChannelConfig
from toy.dropout_channel.network import DeepNetworks, DeepSetting, messages_of, train
from toy.safeguards import check_count, limited_threads, seed_range

CONDITIONS = ("with dropout", "without dropout", "untrained")
SELF_TEST_NATS = 2.0


def measure(config: DropoutChannelConfig) -> dict[str, Any]:
    """Everything the claims and figures need, as plain JSON."""
    known_name(config.estimator, ESTIMATORS, "estimator")
    check_count(config.samples, "samples", 100)
    check_count(config.depths, "depths", 2)
    setting = DeepSetting(
        n_bits=config.bits,
        width=config.width,
        n_layers=config.layers,
        dropout=config.dropout,
        steps=config.steps,
        learning_rate=config.learning_rate,
    )
    setting.check()
    seeds = seed_range(config.seed, config.seeds)
    untrained, trained = train(setting, [*seeds, *seeds], [True] * len(seeds) + [False] * len(seeds), seed=config.seed)
    depths = sorted({round(d) for d in np.linspace(0, config.layers, config.depths)})
    keep = 1 - config.dropout
    with limited_threads(1):
        curves = measure_curves(config, untrained, trained, depths)
        self_tests = measure_self_tests(config)
    return json_ready(
        {
            "bits": config.bits,
            "width": config.width,
            "layers": config.layers,
            "dropout": config.dropout,
            "seeds": config.seeds,
            "estimator": config.estimator,
            "depths": depths,
            "curves": curves,
            "uncorrected": [config.bits * keep ** (n + 1) for n in depths],
            "corrected": [config.bits * keep] * len(depths),
            "ceiling": min(config.bits, config.width * keep),
            "self_tests": self_tests,
        }
    )


def measure_curves(
    config: DropoutChannelConfig, untrained: DeepNetworks, trained: DeepNetworks, depths: list[int]
) -> dict[str, Any]:
    """Per condition: information at every depth, ``[seed][depth]``, and its mean and standard error over seeds."""
    curves = {}
    for condition in CONDITIONS:
        networks = untrained if condition == "untrained" else trained
        first = config.seeds if condition == "without dropout" else 0
        generator = torch.Generator().manual_seed(config.seed + 15_485_863)
        n_models = len(networks.encoder)
        messages = messages_of(n_models, config.samples, config.bits, generator)
        codes = networks.codes(messages, torch.full((n_models, 1, 1), config.dropout), generator)
        rows = [
            [_information(config, messages[model], codes[depth][model]) for depth in depths]
            for model in progress(range(first, first + config.seeds), label=f"dropout channel: {condition}")
        ]
        values = np.array([[row["value"] for row in line] for line in rows])
        error = values.std(0, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else np.zeros(len(depths))
        within = np.sqrt(np.mean([[row["error"] ** 2 for row in line] for line in rows], axis=0) / len(rows))
        curves[condition] = {
            "by_seed": values.tolist(),
            "mean": values.mean(0).tolist(),
            "standard_error": np.hypot(error, within).tolist(),
        }
    return curves


def _information(config: DropoutChannelConfig, messages: torch.Tensor, codes: torch.Tensor) -> dict[str, float]:
    estimate = estimate_information(
        ((messages + 1) / 2).long().numpy(),
        codes.numpy(),
        estimator=config.estimator,
        entropy=config.bits,
        options=NetworkOptions(steps=config.decoder_steps),
        seed=config.seed,
    )
    return {"value": float(estimate.score.value or 0.0), "error": estimate.standard_error}


def measure_self_tests(config: DropoutChannelConfig) -> list[dict[str, Any]]:
    """Correlated Gaussians with 2 nats in three dimensions: value, scaled by .001, shuffled; and bits without noise."""
    dimensions = 3
    correlation = math.sqrt(1 - math.exp(-2 * SELF_TEST_NATS / dimensions))
    generator = np.random.default_rng(config.seed)
    x, noise = generator.standard_normal((2, config.self_test_samples, dimensions))
    y = correlation * x + math.sqrt(1 - correlation**2) * noise
    entropy = dimensions / 2 * math.log(2 * math.pi * math.e)
    bits = generator.integers(2, size=(2000, 3))
    options = NetworkOptions(steps=config.self_test_steps)
    rows = []
    for name in ESTIMATORS:

        def nats(code: np.ndarray, name: str = name, samples: int | None = None) -> dict[str, float]:
            estimate = estimate_information(
                x[:samples], code[:samples], estimator=name, entropy=entropy, units="nats", options=options
            )
            return {"value": float(estimate.score.value or 0.0), "error": estimate.standard_error}

        plain = nats(y)
        scaled = nats(y * 1e-3) if name in ("decoder", "mine") else None
        shuffled = nats(generator.permutation(y), samples=8000)
        certain = estimate_information(
            bits, 2.0 * bits + generator.normal(0, 1e-3, bits.shape), estimator=name, entropy=3, options=options
        )
        rows.append(
            {
                "estimator": name,
                "nats": plain["value"],
                "standard_error": plain["error"],
                "nats at scale .001": None if scaled is None else scaled["value"],
                "nats shuffled": shuffled["value"],
                "bits of 3": certain.score.value,
                "bits of 3, raw": certain.raw,
            }
        )
    return rows
