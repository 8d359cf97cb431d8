"""Fig. 7b is judged against the same differences in the untrained model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.explanation.claims import depth_claims
from eval.explanation.evaluate import Settings, baseline_only
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
    return baseline_only(make_book(make_windows(), units), SETTINGS)


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
    assert verdicts([*falling, *control]) == {"cannot tell"}
    assert verdicts(falling) == {"cannot tell"}
    assert all("no untrained control" in claim.note for claim in depth_claims(falling, 3, n_resamples=50))
