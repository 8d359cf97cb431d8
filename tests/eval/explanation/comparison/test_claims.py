"""Fig. 7b is judged against the same differences in the untrained model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.explanation.comparison.claims import depth_claims
from eval.explanation.evaluate import Settings, rules_only
from eval.explanation.units import Unit
from tests.eval.explanation.planted import fires_on, make_book, make_windows

SETTINGS = Settings(n_resamples=50)


@pytest.fixture(scope="module")
def falling():
    """Neurons that a token explains in layer 0, less in layer 1, and more again in layer 2."""
    noise = {0: 0.05, 1: 0.8, 2: 0.05}
    units = {
        Unit("neuron", layer, index): fires_on(index, noise=spread)
        for layer, spread in noise.items()
        for index in range(9)
    }
    return rules_only(make_book(make_windows(), units), SETTINGS)


def flat(results):
    """A control in which every layer is alike."""
    first = [result for result in results if result.unit.layer == 0]
    return [
        replace(result, condition="untrained", unit=replace(result.unit, layer=layer))
        for layer in range(3)
        for result in first
    ]


def verdicts(results) -> set[str]:
    return {claim.verdict for claim in depth_claims(results, 3, n_resamples=200)}


def test_a_statement_holds_where_the_untrained_model_shows_nothing_of_it(falling) -> None:
    assert verdicts([*falling, *flat(falling)]) == {"holds"}


def test_a_statement_that_the_untrained_model_meets_as_well_does_not_hold(falling) -> None:
    control = [replace(result, condition="untrained") for result in falling]
    assert verdicts([*falling, *control]) == {"holds, and so does its control"}
    assert verdicts(falling) == {"cannot tell"}
    assert all("no control was measured" in claim.note for claim in depth_claims(falling, 3, n_resamples=50))


def test_a_statement_fails_where_the_network_shows_the_opposite(falling) -> None:
    """Projections that do as neurons do, and neurons that do as projections should."""
    random = [replace(result, unit=replace(result.unit, kind="random")) for result in [*falling, *flat(falling)]]
    assert verdicts(random) == {"fails"}
    order = {0: 1, 1: 0, 2: 1}  # the middle layer is the one that is explained best
    by_layer = {layer: [r for r in falling if r.unit.layer == layer] for layer in order}
    rising = [
        replace(result, unit=replace(result.unit, layer=layer, kind=kind))
        for kind in ("neuron", "random") for layer, source in order.items() for result in by_layer[source]
    ]  # fmt: skip
    control = [replace(r, unit=replace(r.unit, kind=kind)) for kind in ("neuron", "random") for r in flat(falling)]
    found = depth_claims([*rising, *control], 3, n_resamples=200)
    assert [(claim.claim.split()[0], claim.verdict) for claim in found] == [
        ("neuron", "fails"), ("neuron", "fails"), ("random", "holds"), ("random", "holds"),
    ]  # fmt: skip


def test_the_claims_name_layers_numbers_and_control(falling) -> None:
    first, last = depth_claims([*falling, *flat(falling)], 3, n_resamples=200)
    assert "first layer lies above" in first.claim and "last layer lies above" in last.claim
    assert first.prediction == "score(layer 0) - score(layer 1) > 0, clear of the untrained model's"
    assert last.prediction.startswith("score(layer 2) - score(layer 1) > 0")
    assert first.interval is not None and first.measured is not None and first.n == 18
    assert first.interval[0] < first.measured < first.interval[1] and list(first.controls or {}) == ["untrained"]
    few = [result for result in falling if result.unit.index < 4]
    assert [claim.interval for claim in depth_claims(few, 3, n_resamples=50)] == [None, None]
    assert depth_claims(few, 3, n_resamples=50)[0].note == (
        "4 units of one kind; an interval over units needs at least 8; no control was measured"
    )


def test_the_middle_is_the_layer_next_to_two_thirds_of_the_depth(falling) -> None:
    deep = [replace(result, unit=replace(result.unit, layer=4 * result.unit.layer)) for result in falling]
    deeper = [replace(result, unit=replace(result.unit, layer=6)) for result in falling if result.unit.layer == 1]
    assert "score(layer 6)" in depth_claims([*deep, *deeper], 10, n_resamples=20)[0].prediction  # 2/3 of 9 is 6
    assert "score(layer 4)" in depth_claims([*deep, *deeper], 7, n_resamples=20)[0].prediction  # 2/3 of 6 is 4
    assert depth_claims([r for r in falling if r.unit.layer < 2], 3, n_resamples=20) == []
    by_layer = {layer: [r for r in falling if r.unit.layer == layer] for layer in range(3)}
    for layers, n_layers, middle in (((0, 1, 8, 9), 3, 1), ((0, 1, 2, 3), 4, 2), ((0, 2, 4, 9), 7, 4)):
        moved = [
            replace(r, unit=replace(r.unit, layer=layer)) for i, layer in enumerate(layers) for r in by_layer[i % 3]
        ]
        assert f"score(layer {middle})" in depth_claims(moved, n_layers, n_resamples=20)[0].prediction
