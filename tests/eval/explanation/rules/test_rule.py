"""What a rule predicts, by hand, in every form."""

from __future__ import annotations

from math import log2

import pytest

from eval.explanation.rules.bits import LEVEL, budget, ladder, rule_bits, table_bits
from eval.explanation.rules.printing import read_rule

WINDOW = [" run", " out", " of", " of", " war"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("` of`, ` war`", [0, 0, 10, 10, 10]),
        ("` of` 3, ` war` 7", [0, 0, 3, 3, 7]),
        ("first match: ` of` after ` out` 7; ` of` 1; any in the first 1 5; else 0.5", [5, 0.5, 7, 1, 0.5]),
        ("first match: any after any after ` out` 4; else 0", [0, 0, 0, 4, 0]),
        ("longest match: ` of` 1; ` of` after ` out` 7; ` of` after ` out` after ` in` 9; else 0", [0, 0, 7, 1, 0]),
        ("graph: ` of` 1 [` out` [` run` 8]]; else 0.5", [0.5, 0.5, 8, 1, 0.5]),
        ("sum: ` of` 3; any after ` of` -2; base 1", [1, 1, 4, 2, 0]),
    ],
)
def test_predictions_by_hand(text: str, expected: list[float]) -> None:
    (values,) = read_rule(text).predict([WINDOW])
    assert values.tolist() == pytest.approx(expected)


def test_windows_of_unequal_length_and_no_look_across_their_heads() -> None:
    first, second = read_rule("first match: ` of` after ` out` 7; else 0").predict([[" out"], [" of", " out", " of"]])
    assert first.tolist() == [0] and second.tolist() == [0, 0, 7]


def test_bits_by_hand() -> None:
    v = 1024
    assert rule_bits(read_rule("` of`"), v) == 10
    assert rule_bits(read_rule("` of` 3"), v) == pytest.approx(10 + LEVEL)
    listed = "first match: ` of` after ` out` 7; any in the first 1 5; else 0.5"
    assert rule_bits(read_rule(listed), v) == pytest.approx(3 + 2 * (log2(12) + LEVEL) + 20 + LEVEL)
    assert rule_bits(read_rule("graph: ` of` 1 [` out` [` run` 8]]; else 0"), v) == pytest.approx(3 * 13 + 3 * LEVEL)
    assert rule_bits(read_rule("sum: ` of` 3; base 1"), v) == pytest.approx(3 + log2(3) + 1 + 10 + 2 * LEVEL)


def test_a_list_never_costs_more_than_the_table() -> None:
    assert rule_bits(read_rule(", ".join(f"`w{i}` 1" for i in range(40))), 64) == table_bits(64)
    assert budget(10**6, 64) == table_bits(64)
    assert list(ladder(64)) == ["1 bare word", "1 word", "3 words", "12 words"]
