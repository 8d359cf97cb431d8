"""Units are drawn at random among those that fire; who fires decides who is passed over, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from llm_codes.lenses.explain.unit_sources.drawing import drawn


def test_where_all_fire_the_draw_is_the_one_that_asks_no_question() -> None:
    plain, none = drawn(100, 20, [3, 1])
    all_live, passed = drawn(100, 20, [3, 1], np.ones(100, dtype=bool))
    assert plain.tolist() == all_live.tolist() and none == passed == 0
    assert drawn(100, 20, [4, 1])[0].tolist() != plain.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_silent_units_are_passed_over_in_order(seed: int) -> None:
    live = np.random.default_rng(seed).random(50) < 0.5
    order = np.random.default_rng([seed]).permutation(50)
    units, passed = drawn(50, 10, [seed], live)
    wanted = [unit for unit in order if live[unit]][:10]
    assert units.tolist() == sorted(wanted)
    assert passed == np.flatnonzero(order == wanted[-1])[0] + 1 - 10


def test_too_few_that_fire_are_filled_up_with_silent_ones() -> None:
    live = np.zeros(6, dtype=bool)
    live[[1, 4]] = True
    units, _ = drawn(6, 4, [0], live)
    assert {1, 4} <= set(units.tolist()) and len(units) == 4
    assert drawn(6, 9, [0], live)[0].tolist() == list(range(6))
