"""Pools written as choices among candidates have the sizes and values of PyTorch's own."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from eval.measures.geometry.rewrites import (
    _pooled,
    _triple,
    adaptive_max_pool,
    amax,
    amin,
    max_pool3d,
    rrelu,
    softshrink,
)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_the_number_of_windows_is_pytorchs(ceil_mode: bool):
    for length, kernel, stride, padding, dilation in product(range(3, 12), (1, 2, 3), (1, 2, 3, 4), (0, 1), (1, 2)):
        if 2 * padding > kernel or dilation * (kernel - 1) + 1 > length + 2 * padding:
            continue
        expected = F.max_pool1d(torch.zeros(1, length), kernel, stride, padding, dilation, ceil_mode).shape[-1]
        assert _pooled(length, kernel, stride, padding, dilation, ceil_mode) == expected


@pytest.mark.parametrize(
    "options",
    [(2,), (3, 2, 1), ((2, 3, 2), (1, 2, 2), (1, 1, 0)), (2, 1, 0, 2), (3, 2, 1, 1, True), (2, (), 0, 1, True)],
)
def test_a_pool_over_three_axes_is_pytorchs(options: tuple):
    x = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    expected = F.max_pool3d(x, *(option if option != () else None for option in options))
    torch.testing.assert_close(max_pool3d(x, *options)[0], expected)


def test_one_number_stands_for_three_axes():
    assert _triple(2) == (2, 2, 2) and _triple((1, 2, 3)) == (1, 2, 3) and _triple([4]) == (4, 4, 4)


def test_rectifiers_and_extremes_are_pytorchs():
    x = torch.linspace(-2, 2, 12).reshape(3, 4)
    torch.testing.assert_close(softshrink(x), F.softshrink(x))
    torch.testing.assert_close(rrelu(x, torch.zeros(0)), F.rrelu(x))
    for ours, theirs in ((amax, torch.amax), (amin, torch.amin)):
        torch.testing.assert_close(ours(x), theirs(x))
        torch.testing.assert_close(ours(x, [0]), theirs(x, [0]))
        torch.testing.assert_close(ours(x, [-1], True), theirs(x, [-1], True))


@pytest.mark.parametrize(
    ("size", "out"), [((5,), (3,)), ((7,), (3,)), ((8,), (5,)), ((5, 7), (3, 2)), ((4, 5, 3), (3, 2, 2))]
)
def test_adaptive_windows_of_unequal_width_are_pytorchs(size: tuple[int, ...], out: tuple[int, ...]):
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    expected = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[len(size) - 1](x, out)
    torch.testing.assert_close(adaptive_max_pool(len(size))(x, out)[0], expected)
    torch.testing.assert_close(adaptive_max_pool(len(size))(-x.abs(), out)[0], -_smallest(x.abs(), out))


def _smallest(x: torch.Tensor, out: tuple[int, ...]) -> torch.Tensor:
    return -(F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[len(out) - 1](-x, out)
