"""Degrees of freedom, and networks of which a depth is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from eval.verdicts import above
from tests.vision_codes.lenses.sweep.test_study import planted, untrained
from vision_codes.lenses.sweep.claims import _claim, claims
from vision_codes.lenses.sweep.networks import Network
from vision_codes.lenses.sweep.seeds import over_seeds


def test_p_values_are_those_of_a_t_test_over_seeds():
    values = [0.3, 0.1, 0.4, 0.2]
    claim = _claim("words", "source", "more", over_seeds(values), above(0.0), "note", {}, units="exponent")
    assert claim.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert claim.seeds == 4 and claim.n is None and claim.family


def only(network: Network, layers: range) -> Network:
    """The same network, analysed at these sites."""
    return replace(
        network,
        spectra=[row for row in network.spectra if row.layer in layers],
        dot=[row for row in network.dot if row.layer in layers],
    )


@pytest.mark.parametrize("layers", [range(1, 6), range(6, 18)])
def test_a_contrast_of_depths_needs_both(layers: range):
    networks = [planted(dropout, seed, True) for dropout in (0.0, 0.2, 0.4) for seed in range(3)]
    found = {claim.claim: claim for claim in claims([only(one, layers) for one in [*networks, untrained(0)]])}
    for words in ("late layers give smoother projections than early ones",
                  "spectra are step-like in middle and late layers"):  # fmt: skip
        assert found[words].verdict == "cannot tell" and found[words].measured is None
