"""Counts, density and histogram of the boundaries along a segment, by hand."""

from __future__ import annotations

import numpy as np
import torch

from eval.measures.geometry.crossings import Events, collected


def test_events_are_sorted_and_counted_by_site_and_length() -> None:
    events = Events()
    one = np.ones(1, dtype=np.int64)
    events.add(torch.tensor([0.75, 0.5]), np.array([3, 4]), np.array([0, 1]), np.array([1, 0]), 2)
    events.add(np.array([0.25]), one, one, 0 * one, 0)
    events.add(np.array([]), one[:0], one[:0], one[:0], 1)
    found = collected(events, ("a", "b", "c"), 4.0)
    assert found.t.tolist() == [0.25, 0.5, 0.75] and found.site.tolist() == [0, 2, 2]
    assert found.unit.tolist() == [1, 4, 3] and found.before.tolist() == [1, 1, 0] and found.after.tolist() == [0, 0, 1]
    assert found.count == 3 and found.density.value == 0.75 and found.density.n == 3
    assert found.by_site() == {"a": 1, "b": 0, "c": 2} and found.counting == "exact"
    assert found.histogram(np.array([0, 0.4, 1.0])).tolist() == [1, 2]


def test_nothing_crossed_and_no_length_have_defined_answers() -> None:
    none = collected(Events(), ("a",), 2.0)
    assert none.count == 0 and none.density.value == 0 and none.by_site() == {"a": 0}
    assert collected(Events(), ("a",), 0.0).density.reason == (
        "the two end points coincide: a segment of length zero has no density"
    )
