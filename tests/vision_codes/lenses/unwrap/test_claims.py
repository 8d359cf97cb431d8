"""What the statements about MNIST are judged on: intervals over seeds, quantities, numbers without a verdict."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from eval.verdicts import above
from tests.vision_codes.lenses.unwrap.test_study import seed_row
from vision_codes.lenses.unwrap.claims import _claim, claims_of, over_seeds, summary_rows


def test_two_seeds_have_an_interval():
    score = over_seeds([1.0, 2.0])
    assert score.interval is not None and score.n == 2
    assert score.interval == pytest.approx(stats.t(1, 1.5, 0.5).interval(0.95))
    assert over_seeds([1.0]).n == 1 and over_seeds([1.0]).interval_reason == "one seed: no interval"


def test_every_quantity_is_named_with_its_mean_over_seeds():
    rows = [seed_row(1.0), seed_row(2.0)]
    for number, row in enumerate(rows):
        for layer in (1, 2, 3):
            row[f"sae_{layer}"] = {**row[f"sae_{layer}"], "fvu": layer / 10, "l0": 10 * layer + number}
    found = {row.quantity: row for row in summary_rows(rows)}
    for layer in (1, 2, 3):
        assert found[f"FVU of dictionary {layer}"].mean == pytest.approx(layer / 10)
        assert found[f"L0 of dictionary {layer}"].mean == pytest.approx(10 * layer + 0.5)
    assert found["cost in points"].mean == 1.5 and found["cost in points before the joint fit"].mean == pytest.approx(
        1.8
    )
    assert found["edges per output, first connector"].mean == 20
    assert found["edges per output, second connector"].mean == 18 and found["most edges of any output"].mean == 32
    assert all(row.seeds == 2 for row in found.values()) and len(found) == 16


def test_losses_are_compared_as_ratios_whatever_their_size():
    rows = [seed_row(1.0, analytic=(0.02, 0.02 * share), random_loss=0.005) for share in (0.96, 0.98, 0.97)]
    fall, ratio = claims_of(rows)[1:3]
    assert fall.measured == pytest.approx(0.97) and fall.verdict == "holds"
    assert ratio.measured == pytest.approx(np.mean([np.log(0.25 / share) for share in (0.96, 0.98, 0.97)]))


def test_numbers_count_seeds_and_one_has_no_verdict_but_an_interval():
    found = claims_of([seed_row(cost) for cost in (0.8, 1.0, 1.2)])
    assert [claim.seeds for claim in found] == [3] * 5 and all(claim.n is None for claim in found)
    assert found[4].verdict == "cannot tell" and found[4].measured == pytest.approx(0.01)
    assert found[4].interval == pytest.approx((0.01, 0.01)) and found[0].interval is not None
    assert _claim("words", "more", over_seeds([1.0]), None, "why", {}, units="points").interval is None


def test_p_values_are_those_of_a_t_test_over_seeds():
    values = [0.3, 0.1, 0.4, 0.2]
    claim = _claim("words", "more", over_seeds(values), above(0.0), "why", {}, units="points")
    assert claim.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_what_holds_for_the_control_too_is_said():
    """The start in random places must not be a minimum, the network as it started must not gain from tying."""
    rows = [seed_row(1.0 + i / 10, permuted=(10.0, 9.8), before=0.01) for i in range(4)]
    found = {claim.claim: claim for claim in claims_of(rows)}
    assert all(claim.controls for claim in found.values())
    for words in ("The analytic start is a local minimum", "Tied dictionaries beat untied ones"):
        assert found[words].verdict == "holds, and so does its control"
    words = "A random start reaches a much lower loss than the analytic one"
    assert found[words].verdict == "holds, and so does its control"
