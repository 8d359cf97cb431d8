"""Spline codes against unpacked NumPy bits; refusals by their text."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.errors import UserError
from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes, code_density


def make_map(*parts, site="blocks.0.hook_in", model="tiny"):
    return CodeMap(parts, site, model)


RELU = make_map(CodePart("a", "relu", (70,)), CodePart("b", "relu", (5, 3)))


def random_layers(n_items=9, seed=0):
    generator = np.random.default_rng(seed)
    return {"a": generator.normal(size=(n_items, 70)), "b": generator.normal(size=(n_items, 5, 3))}


def test_bits_and_hamming_are_those_of_the_signs():
    layers = random_layers()
    codes = SplineCodes.hard(RELU, layers)
    signs = np.concatenate([layers["a"] > 0, layers["b"].reshape(9, 15) > 0], axis=1)
    assert codes.words.dtype == np.uint64 and codes.words.shape == (9, 2) and codes.kind == "hard"
    assert (codes.bits() == signs).all()
    expected = (signs[:, None] != signs[None]).sum(-1)
    assert (codes.hamming_matrix() == expected).all()
    assert (codes.hamming(codes[::-1]) == np.diagonal(expected[:, ::-1])).all()


def test_zero_counts_as_off_and_tensors_are_taken():
    code_map = make_map(CodePart("a", "relu", (3,)))
    codes = SplineCodes.hard(code_map, {"a": torch.tensor([[0.0, -0.0, 1e-30]])})
    assert codes.bits().tolist() == [[0, 0, 1]]


def test_relu6_has_two_thresholds_that_count_the_boundaries_between():
    code_map = make_map(CodePart("a", "relu6", (1,), thresholds=(0, 6)))
    codes = SplineCodes.hard(code_map, {"a": np.array([[-1.0], [3.0], [6.0], [7.0]])})
    assert codes.hamming_matrix().tolist() == [[0, 1, 1, 2], [1, 0, 0, 1], [1, 0, 0, 1], [2, 1, 1, 0]]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 80), st.integers(1, 20), st.integers(2, 10), st.integers(0, 1000))
def test_a_differing_symbol_counts_one(n_units, n_windows, n_symbols, seed):
    generator = np.random.default_rng(seed)
    parts = CodePart("p", "max_pool", (n_windows,), symbols=n_symbols), CodePart("a", "relu", (n_units,))
    z, symbols = generator.normal(size=(4, n_units)), generator.integers(0, n_symbols, size=(4, n_windows))
    codes = SplineCodes.hard(make_map(*parts), {"a": z, "p": symbols})
    expected = ((z > 0)[:, None] != (z > 0)[None]).sum(-1) + (symbols[:, None] != symbols[None]).sum(-1)
    assert codes.kind == "categorical" and (codes.hamming_matrix() == expected).all()
    assert codes.map.maximum_distance == n_units + n_windows
    assert (codes.select_layers(["p"]).hamming_matrix() == (symbols[:, None] != symbols[None]).sum(-1)).all()


def test_every_bit_has_a_place():
    codes = SplineCodes.hard(RELU, random_layers())
    assert RELU.place(69) == ("a", 69, (), 0)
    assert RELU.place(70 + 2 * 3 + 1) == ("b", 2, (1,), 0)
    changed = random_layers()
    changed["b"][0, 4, 2] *= -1
    both = SplineCodes.concatenate([codes[0], SplineCodes.hard(RELU, changed)[0]])
    assert [place[:3] for place in both.differing_places(0, 1)] == [("b", 4, (2,))]


def test_soft_l1_equals_hamming_on_hard_gates_and_is_smaller_in_between():
    layers = random_layers()
    hard = SplineCodes.hard(RELU, layers)
    zero_one = SplineCodes.soft(RELU, {name: (z > 0).astype(float) for name, z in layers.items()})
    assert (zero_one.soft_l1(zero_one[::-1]) == hard.hamming(hard[::-1])).all()
    previous = None
    for sharpness in (1.0, 10.0, 1e4):
        gates = {name: 1 / (1 + np.exp(-np.clip(sharpness * z, -500, 500))) for name, z in layers.items()}
        soft = SplineCodes.soft(RELU, gates)
        gap = np.abs(soft.distance(soft[::-1]) - hard.distance(hard[::-1])).max()
        assert previous is None or gap < previous
        previous = gap
    assert previous < 0.5


def test_layers_can_be_selected_and_pieces_joined():
    layers = random_layers()
    codes = SplineCodes.hard(RELU, layers)
    assert (codes.select_layers(["b"]).bits() == (layers["b"].reshape(9, 15) > 0)).all()
    joined = SplineCodes.concatenate([codes[:4], codes[4:]])
    assert (joined.words == codes.words).all() and len(joined) == 9
    assert SplineCodes.concatenate([codes, codes]).n_distinct() == codes.n_distinct() == 9


def test_density_is_bits_per_length_and_undefined_for_coincident_points():
    codes = SplineCodes.hard(RELU, random_layers())
    inputs = np.random.default_rng(1).normal(size=(9, 4))
    inputs[1] = inputs[0]
    density = code_density(codes[:8], codes[1:], inputs[:8], inputs[1:])
    assert np.isnan(density.value[0]) and density.reason == "1 of 8 pairs coincide: no distance to divide by"
    assert density.value[3] == pytest.approx(codes.hamming_matrix()[3, 4] / np.linalg.norm(inputs[3] - inputs[4]))


def test_codes_of_two_maps_are_refused():
    codes = SplineCodes.hard(RELU, random_layers())
    other = SplineCodes.hard(make_map(*RELU.parts, site="blocks.1.hook_in"), random_layers())
    with pytest.raises(UserError, match="expected codes of one map; got two .input_site 'blocks.0.hook_in' and"):
        codes.hamming(other)
    with pytest.raises(UserError, match="one kind; got hard and soft"):
        codes.hamming(SplineCodes.soft(RELU, {n: (z > 0) * 1.0 for n, z in random_layers().items()}))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_values_are_refused_not_called_off(bad):
    layers = random_layers()
    layers["a"][3, 4] = bad
    with pytest.raises(UserError, match="1 values at 'a' are NaN or infinite: a code would call them off"):
        SplineCodes.hard(RELU, layers)


def test_wrong_input_is_named():
    with pytest.raises(UserError, match=r"no values for layer 'b'; got a; harvest that hook too"):
        SplineCodes.hard(RELU, {"a": random_layers()["a"]})
    with pytest.raises(UserError, match=r"expected 'b' as \[item, 5, 3\]; got \[9, 15\]"):
        SplineCodes.hard(RELU, {**random_layers(), "b": np.zeros((9, 15))})
    with pytest.raises(UserError, match=r"expected gates in \[0, 1\]"):
        SplineCodes.soft(RELU, random_layers())
    with pytest.raises(UserError, match="twice in the code map; name the second call 'a#2'"):
        make_map(CodePart("a", "relu", (2,)), CodePart("a", "relu", (2,)))
    with pytest.raises(UserError, match="expected integer symbols in 0..3 at 'p'"):
        SplineCodes.hard(make_map(CodePart("p", "max_pool", (2,), symbols=4)), {"p": np.array([[0, 4]])})


def test_half_precision_warns_with_the_share_near_zero():
    code_map = make_map(CodePart("a", "relu", (4,)))
    z = torch.tensor([[1.0, -1.0, 1e-4, 1.0]], dtype=torch.bfloat16)
    with pytest.warns(UserWarning, match="codes from bfloat16: 25% of the units lie within rounding"):
        assert SplineCodes.hard(code_map, {"a": z}).near_zero.tolist() == [0.25]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SplineCodes.hard(code_map, {"a": z.float()})


def test_map_survives_json():
    code_map = make_map(CodePart("a", "relu6", (2, 3), (0, 6)), CodePart("p", "max_pool", (2,), symbols=5))
    again = CodeMap.from_json(code_map.as_json())
    assert again == code_map and again.fingerprint == code_map.fingerprint
    assert code_map.fingerprint != make_map(*code_map.parts, model="other").fingerprint


def test_values_widened_from_half_precision_keep_their_rounding():
    code_map = CodeMap((CodePart("a", "relu", (4,)),), "x", "m")
    z = np.array([[1.0, -1.0, 1e-4, 1.0]], dtype=np.float32)
    assert SplineCodes.hard(code_map, {"a": z}).near_zero.tolist() == [0]
    for dtype in ("bfloat16", "float16"):
        with pytest.warns(UserWarning, match=f"codes from {dtype}: 25% of the units lie within rounding"):
            assert SplineCodes.hard(code_map, {"a": z}, source_dtype=dtype).near_zero.tolist() == [0.25]


def test_no_pair_has_no_density_and_says_so():
    code_map = CodeMap((CodePart("a", "relu", (4,)),), "x", "m")
    none = SplineCodes.hard(code_map, {"a": np.zeros((2, 4), dtype=np.float32)})[np.zeros(0, dtype=int)]
    with pytest.raises(UserError, match="expected at least one pair of inputs; got none"):
        code_density(none, none, np.zeros((0, 3)), np.zeros((0, 3)))


def test_gates_that_round_outside_are_clipped_and_symbols_must_be_in_range():
    soft = CodeMap((CodePart("a", "gelu", (3,)),), "x", "tiny")
    found = SplineCodes.soft(soft, {"a": np.array([[-5e-4, 0.5, 1 + 5e-4]])})
    assert found.gates.tolist() == [[0, 0.5, 1]]
    for gates in ([[0, 0.5, 1.01]], [[-0.01, 0.5, 1]]):
        with pytest.raises(UserError, match=r"expected gates in \[0, 1\]; got"):
            SplineCodes.soft(soft, {"a": np.array(gates)})
    pool = CodeMap((CodePart("p", "max_pool", (2,), symbols=4),), "x", "tiny")
    assert len(SplineCodes.hard(pool, {"p": np.array([[0, 3]])})) == 1
    for symbols in ([[-1, 3]], [[0, 4]]):
        with pytest.raises(UserError, match=r"expected integer symbols in 0\.\.3 at 'p'; got int64"):
            SplineCodes.hard(pool, {"p": np.array(symbols)})
    with pytest.raises(UserError, match=r"expected integer symbols in 0\.\.3 at 'p'; got float64, 0.0\.\.3.0"):
        SplineCodes.hard(pool, {"p": np.array([[0.0, 3.0]])})
