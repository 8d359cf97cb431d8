"""Where every bit of a code comes from, how many there are, and which maps are refused."""

from __future__ import annotations

import pytest

from eval.errors import UserError
from eval.measures.codes.code_map import BitPlace, CodeMap, CodePart

RELU6 = CodePart("conv", "relu6", (3, 2, 4), thresholds=(0, 6))
POOL = CodePart("pool", "max_pool", (5,), symbols=7)
RELU = CodePart("fc", "relu", (40,))
MAP = CodeMap((POOL, RELU6, RELU), "image", "tiny")


def test_counts_are_products_and_words_are_whole():
    assert (RELU6.n_units, RELU6.bits_per_unit, RELU6.n_bits) == (24, 2, 48)
    assert (POOL.n_units, POOL.bits_per_unit, POOL.n_bits) == (5, 7, 35)
    assert RELU.thresholds == (0.0,) and RELU.bits_per_unit == 1
    assert (MAP.n_bits, MAP.n_symbol_bits, MAP.n_units) == (88, 35, 69)
    assert (MAP.symbol_word, MAP.n_words, MAP.maximum_distance) == (2, 3, 88 + 5)
    full = CodeMap((CodePart("a", "relu", (64,)), CodePart("p", "max_pool", (32,), symbols=2)), "x", "m")
    assert (full.symbol_word, full.n_words) == (1, 2)
    assert CodeMap((RELU,), "x", "m").n_words == 1 == CodeMap((RELU,), "x", "m").maximum_distance - 39


def test_threshold_parts_come_first_and_every_bit_has_its_place():
    assert [part.layer for part in MAP.ordered] == ["conv", "fc", "pool"]
    assert MAP.offsets == {"conv": 0, "fc": 48, "pool": 88}
    assert MAP.place(0) == BitPlace("conv", 0, (0, 0), 0) and MAP.place(47) == BitPlace("conv", 2, (1, 3), 1)
    assert MAP.place(2 * (1 * 8 + 1 * 4 + 2) + 1) == BitPlace("conv", 1, (1, 2), 1)
    assert MAP.place(48) == BitPlace("fc", 0, (), 0) and MAP.place(87) == BitPlace("fc", 39, (), 0)
    assert MAP.place(88) == BitPlace("pool", 0, (), 0) and MAP.place(122) == BitPlace("pool", 4, (), 6)
    for bit in (-1, 123):
        with pytest.raises(UserError, match=rf"expected a bit in 0\.\.122; got {bit}"):
            MAP.place(bit)


def test_a_selection_keeps_the_order_and_the_input():
    chosen = MAP.select(["fc", "pool"])
    assert [part.layer for part in chosen.parts] == ["pool", "fc"] and chosen.input_site == "image"
    assert MAP.part("fc") is RELU
    with pytest.raises(UserError, match="unknown layer of the code map 'polo': did you mean pool"):
        MAP.select(["polo"])


def test_maps_are_comparable_where_everything_agrees():
    assert CodeMap.from_json(MAP.as_json()) == MAP and CodeMap.from_json(MAP.as_json()).fingerprint == MAP.fingerprint
    assert len(MAP.fingerprint) == 16
    others = [CodeMap(MAP.parts, "image", "other"), CodeMap(MAP.parts, "x", "tiny"), MAP.select(["conv", "fc"])]
    assert len({MAP.fingerprint, *(other.fingerprint for other in others)}) == 4


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"shape": ()}, r"expected a non-empty shape for 'a'; got \(\); leave out empty layers"),
        ({"shape": (3, 0)}, r"expected a non-empty shape for 'a'; got \(3, 0\)"),
        ({"symbols": 1}, "expected 0 or at least 2 symbols for 'a'; got 1"),
        ({"symbols": -1}, "expected 0 or at least 2 symbols for 'a'; got -1"),
        ({"thresholds": ()}, r"expected rising thresholds for 'a'; got \(\); sort them"),
        ({"thresholds": (1, 0)}, r"expected rising thresholds for 'a'; got \(1.0, 0.0\)"),
        ({"thresholds": (1, 1)}, r"expected rising thresholds for 'a'; got \(1.0, 1.0\)"),
        ({"thresholds": (1, 0), "symbols": 4}, "expected rising thresholds"),
    ],
)
def test_parts_that_mean_nothing_are_refused(words: dict, text: str):
    with pytest.raises(UserError, match=text):
        CodePart(**{"layer": "a", "activation": "relu", "shape": (3,), **words})


def test_the_least_parts_are_allowed_and_maps_need_distinct_layers():
    assert CodePart("a", "max_pool", (1,), thresholds=(), symbols=2).n_bits == 2
    with pytest.raises(UserError, match="expected at least one nonlinear layer in a code map; got none"):
        CodeMap((), "x", "m")
    with pytest.raises(UserError, match="layer 'fc' is twice in the code map; name the second call 'fc#2'"):
        CodeMap((RELU6, RELU, RELU), "x", "m")
