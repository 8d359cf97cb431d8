"""What a baseline holds at random stays where it started; the rest is trained; a continuation is bitwise."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from eval.errors import UserError
from eval.measures.dictionaries.baselines import LEAST_COSINE, within_cosine
from eval.measures.dictionaries.dictionary_step import TopKTrainer
from eval.measures.dictionaries.step_options import StepOptions

WIDTH, FEATURES = 12, 24


def planted(rows: int = 256, seed: int = 0) -> torch.Tensor:
    """Three of 24 unit directions at a time: what an unconstrained dictionary can find."""
    generator = torch.Generator().manual_seed(7)
    directions = torch.nn.functional.normalize(torch.randn(FEATURES, WIDTH, generator=generator), dim=1)
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(rows, FEATURES, generator=generator).topk(3, dim=1).indices
    values = torch.zeros(rows, FEATURES).scatter_(1, active, 1 + torch.rand(rows, 3, generator=generator))
    return values @ directions


def trained(baseline: str, steps: int = 150, **changes: object) -> tuple[TopKTrainer, float]:
    options = StepOptions(WIDTH, FEATURES, k=3, learning_rate=3e-2, dead_after=20, baseline=baseline, **changes)  # type: ignore[arg-type]
    trainer = TopKTrainer(options)
    trainer.first = (trainer.encoder.clone(), trainer.decoder.clone())  # type: ignore[attr-defined]
    fvu = [trainer.step(planted(seed=step))["fvu"] for step in range(steps)]
    return trainer, sum(fvu[-10:]) / 10


def cosines(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cosine_similarity(a, b, dim=1)


def test_each_baseline_holds_its_own_part_and_moves_the_rest() -> None:
    moved = {}
    for name in ("none", "frozen-decoder", "soft-frozen-decoder", "frozen-encoder"):
        trainer, _ = trained(name)
        encoder, decoder = trainer.first  # type: ignore[attr-defined]
        moved[name] = (bool((trainer.encoder != encoder).any()), float(cosines(trainer.decoder, decoder).min()))
        assert bool((trainer.decoder_bias != 0).any())
    assert moved["none"][0] and moved["none"][1] < LEAST_COSINE - 0.1
    assert moved["frozen-decoder"] == (True, pytest.approx(1.0, abs=1e-6))
    assert moved["soft-frozen-decoder"][0] and moved["soft-frozen-decoder"][1] == pytest.approx(LEAST_COSINE, abs=1e-5)
    assert not moved["frozen-encoder"][0] and moved["frozen-encoder"][1] < 1 - 1e-3


def test_on_planted_features_training_everything_explains_most() -> None:
    fvu = {name: trained(name)[1] for name in ("none", "frozen-decoder", "soft-frozen-decoder", "frozen-encoder")}
    assert fvu["none"] < fvu["soft-frozen-decoder"] < fvu["frozen-decoder"]
    assert fvu["none"] < fvu["frozen-encoder"]


@pytest.mark.parametrize("baseline", ["frozen-decoder", "soft-frozen-decoder", "frozen-encoder"])
def test_a_baseline_continues_bitwise(baseline: str) -> None:
    whole, _ = trained(baseline, 20)
    half, _ = trained(baseline, 10)
    continued = TopKTrainer(half.options)
    continued.load_state({name: value.clone() for name, value in half.state().items()})
    for step in range(10, 20):
        continued.step(planted(seed=step))
    for name in ("encoder", "decoder", "encoder_bias", "decoder_bias"):
        assert torch.equal(getattr(whole, name), getattr(continued, name)), name


def test_vectors_are_turned_back_to_the_limit_and_keep_their_norms() -> None:
    starts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    vectors = torch.tensor([[0.0, 3.0], [0.9, 0.1], [0.0, -1.0], [0.0, 0.0]])
    turned = within_cosine(vectors, starts, 0.8)
    assert_close(turned[0], 3 * torch.tensor([0.8, 0.6]))
    assert_close(turned[1], vectors[1])
    assert_close(turned[2], torch.tensor([0.0, 1.0]))  # opposite: no nearest direction, its start
    assert_close(turned[3], vectors[3])
    assert_close(turned.norm(dim=1), vectors.norm(dim=1))


def test_errors() -> None:
    with pytest.raises(UserError, match="baseline"):
        StepOptions(WIDTH, FEATURES, k=3, baseline="frozen")
    with pytest.raises(UserError, match="expected an untied dictionary for --baseline frozen-decoder; got tied=True"):
        StepOptions(WIDTH, FEATURES, k=3, tied=True, baseline="frozen-decoder")
