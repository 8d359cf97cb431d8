"""The erasure code really corrects erasures; the simulation follows laws it does not use."""

import numpy as np
import pytest

from eval.errors import UserError
from toy.capacity.cascade import PRIME, reed_solomon, simulate
from toy.capacity.study import largest_message


def test_any_k_symbols_of_a_reed_solomon_word_give_back_the_word() -> None:
    generator = np.random.default_rng(0)
    message = generator.integers(PRIME, size=(6, 5))
    word = reed_solomon(np.tile(np.arange(5), (6, 1)), message, 12)
    assert (word[:, :5] == message).all()
    points = np.stack([generator.permutation(12)[:5] for _ in range(6)])
    assert (reed_solomon(points, np.take_along_axis(word, points, 1), 12) == word).all()
    damaged = np.take_along_axis(word, points, 1)
    damaged[:, 0] = (damaged[:, 0] + 1) % PRIME
    assert (reed_solomon(points, damaged, 12) != word).any(1).all()


def test_cascades_follow_their_laws_within_three_standard_errors() -> None:
    result = simulate(20, 12, 0.2, 8, 4000, decoded=50)
    assert result.wrong == 0
    assert result.surviving_deviation < 3.5
    assert result.failed_deviation < 3.5
    assert result.surviving[-1] < 0.2 < 0.8 < 1 - result.failed[-1]
    assert simulate(20, 12, 0.2, 8, 4000, decoded=50) == result


def test_a_message_as_wide_as_its_layer_is_lost_with_the_first_erasure() -> None:
    result = simulate(6, 6, 0.3, 2, 500)
    assert result.failed[0] == pytest.approx(1 - 0.7**6, abs=0.07)


def test_largest_message_is_the_last_that_fits() -> None:
    from eval.measures.information.capacity import reencoding_failure

    k = largest_message(50, 0.2, 0.01)
    assert reencoding_failure(50, k, 0.2) <= 0.01 < reencoding_failure(50, k + 1, 0.2)


def test_bad_sizes_are_one_line() -> None:
    with pytest.raises(UserError, match="expected 1 <= k <= m <= 257; got k=9, m=8"):
        simulate(8, 9, 0.1, 1, 10)
    with pytest.raises(UserError, match=r"expected D in \[0, 1\]; got 2"):
        simulate(8, 4, 2, 1, 10)
