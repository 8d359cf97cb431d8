"""Records: levels, top windows, token means and the sign policy against direct computation."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from eval.explanation.records import Recorder, TokenTable, levels
from eval.explanation.units import Unit, parse_kinds
from eval.explanation.windows import SPLITS
from tests.eval.explanation.planted import fires_on, make_book, make_windows

NEURON, RANDOM = Unit("neuron", 0, 3), Unit("random", 0, 1)


def test_levels_are_the_published_discretisation() -> None:
    assert levels(np.array([-1.0, 0.0, 0.05, 0.1, 0.55, 1.0, 2.0, np.nan]), 1.0).tolist() == [0, 0, 0, 1, 5, 10, 10, 0]
    assert levels(np.array([1.0, 2.0]), 0.0).tolist() == [0, 0]


def test_top_windows_and_token_means_match_a_direct_computation() -> None:
    windows = make_windows()
    held = {}

    def noisy(kept, generator):
        held["values"] = np.maximum(generator.standard_normal(kept.shape), 0).astype(np.float32)
        return held["values"]

    book = make_book(windows, {NEURON: noisy}, n_random=60)
    for split in SPLITS:
        pool = np.setdiff1d(windows.of(split), book.shared[split])
        best = pool[np.argsort(-held["values"][pool].max(1), kind="stable")[:5]]
        assert [record.window for record in book.top(0, split)] == best.tolist()
        assert np.allclose(book.top(0, split)[0].values, held["values"][best[0]])
    explain = windows.of("explain")
    tokens, values = windows.tokens[explain][:, 1:], held["values"][explain]
    table = book.table(0)
    assert table.mean[7] == pytest.approx(values[tokens == table.tokens[7]].mean(), rel=1e-6)
    assert table.prior == pytest.approx(values.mean(), rel=1e-6)
    assert book.scale[0] == pytest.approx(values.max())
    record = book.random(0, "score")[0]
    assert np.allclose(record.values, held["values"][record.window])
    assert record.ids == tuple(windows.tokens[record.window, 1:])


def test_a_token_never_seen_is_predicted_at_the_prior() -> None:
    table = TokenTable(np.array([3, 8]), np.array([4.0, 0.0]), np.array([9, 1]), 2.0)
    assert table.predict(np.array([3, 8, 5, 99])).tolist() == pytest.approx([3.8, 1.0, 2.0, 2.0])


def test_signed_units_point_to_their_rarer_larger_side() -> None:
    windows = make_windows()

    def downwards(kept, generator):
        return -fires_on(5)(kept, generator)

    book = make_book(windows, {RANDOM: downwards})
    assert book.signs.tolist() == [-1] and book.scale[0] > 0.9
    drawn = make_book(windows, {RANDOM: downwards}, policy="drawn")
    assert drawn.signs.tolist() == [1] and drawn.scale[0] < 0.3


def test_a_silent_unit_has_a_problem_not_a_scale() -> None:
    book = make_book(make_windows(), {NEURON: lambda kept, generator: np.zeros(kept.shape)})
    assert book.problem(0) == "the unit is zero on every token of the explain documents"


def test_non_finite_activations_are_refused_by_name() -> None:
    windows = make_windows()
    recorder = Recorder(windows, 1, {}, top=2)
    with pytest.raises(UserError, match="expected finite activations, got NaN or infinity"):
        recorder.update(np.full((1, 32, 1), np.nan), np.array([0]))


def test_kinds_are_parsed_and_typos_get_a_suggestion() -> None:
    assert parse_kinds(("neuron", "sae:runs/a:b")) == [("neuron", ""), ("sae", "runs/a:b")]
    with pytest.raises(UserError, match="unknown kind of unit 'neurn': did you mean neuron"):
        parse_kinds(("neurn",))
    with pytest.raises(UserError, match="expected an SAELens folder after `sae`"):
        parse_kinds(("sae",))
