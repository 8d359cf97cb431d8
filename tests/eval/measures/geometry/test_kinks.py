"""The bounds of every clamp, however its arguments are given."""

from __future__ import annotations

import pytest

from eval.measures.geometry.kinks import _bounds


@pytest.mark.parametrize(
    ("operation", "arguments", "options", "expected"),
    [
        ("relu6", [], {}, (0, 6)),
        ("hardtanh", [], {}, (-1, 1)),
        ("hardtanh", [-2.0], {}, (-2, 1)),
        ("hardtanh", [-2.0, 3.0], {}, (-2, 3)),
        ("clamp_min", [0.5], {}, (0.5, None)),
        ("clamp_max", [0.5], {}, (None, 0.5)),
        ("clamp", [0.5], {}, (0.5, None)),
        ("clamp", [0.5, 2.0], {}, (0.5, 2)),
        ("clamp", [], {"max": 2.0}, (None, 2)),
        ("clamp", [], {"min": -1.0, "max": 2.0}, (-1, 2)),
    ],
)
def test_bounds_are_those_given_or_the_operations_own(operation, arguments, options, expected):
    assert _bounds(operation, arguments, options) == expected
