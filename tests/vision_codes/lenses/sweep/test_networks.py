"""Relabelled networks: what dropout is not the cause of must not be put down to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.vision_codes.lenses.sweep.test_study import planted, untrained
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.networks import seeds_for_dropouts, with_dots_of_the_next

DROPOUTS = (0.0, 0.2, 0.4, 0.8)
SWEEP = [planted(dropout, seed, True) for dropout in DROPOUTS for seed in range(3)] + [untrained(s) for s in range(3)]


def test_seeds_take_the_place_of_dropouts():
    found = seeds_for_dropouts(SWEEP)
    assert [(n.seed, n.dropout) for n in found] == [(group, d) for group in range(4) for d in (0.0, 0.4, 0.8)]
    assert all(one.spectra is SWEEP[i].spectra for i, one in enumerate(found))
    assert seeds_for_dropouts([n for n in SWEEP if n.seed == 0]) == []


def test_the_dot_of_the_next_dropout_of_the_same_seed():
    found = {(n.dropout, n.seed): n for n in with_dots_of_the_next(SWEEP)}
    assert len(found) == 12
    of = {(n.dropout, n.seed): n for n in SWEEP}
    assert found[0.2, 1].dot is of[0.4, 1].dot and found[0.8, 1].dot is of[0.0, 1].dot
    assert found[0.2, 1].spectra is of[0.2, 1].spectra


def test_every_statement_carries_a_control():
    assert all(claim.controls for claim in claims(SWEEP))


def test_what_grows_between_networks_trained_alike_is_not_dropouts_work():
    """Each later seed has steeper spectra, as much as each higher dropout has: the slope alone would hold."""

    def steeper(dropout: float, seed: int):
        network = planted(dropout, seed, True)
        rows = [
            replace(row, alpha_corrected=replace(row.alpha_corrected, value=-1 - 0.2 * dropout - 0.2 * 0.4 * seed))
            for row in network.spectra
            if row.alpha_corrected is not None
        ]
        return replace(network, spectra=rows)

    found = claims([steeper(dropout, seed) for dropout in DROPOUTS for seed in range(3)])
    claim = next(one for one in found if one.claim == "(1) more dropout, steeper alpha")
    assert np.isclose(claim.measured or 0, -0.2) and claim.verdict == "holds, and so does its control"
