"""Which aten operations are affine in their input, and with which arguments? Everything else is refused by name.

An operation is judged by *where* the input comes in: ``addmm(b, x, W)`` is affine in b and x together,
``addmm(b, x, x)`` is not; ``div(x, c)`` is affine, ``div(x, c, rounding_mode="floor")`` is a staircase.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

FIRST: tuple[int, ...] = (0,)
AFFINE: Mapping[str, tuple[int, ...]] = {
    name: FIRST
    for name in (
        "neg cat stack view _unsafe_view reshape permute transpose t unsqueeze squeeze expand select slice clone alias "
        "detach constant_pad_nd mean sum flatten _to_copy avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d "
        "_adaptive_avg_pool3d adaptive_avg_pool1d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
        "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d split split_with_sizes unbind "
        "repeat index_select index gather flip roll pixel_shuffle pixel_unshuffle contiguous lift_fresh positive "
        "diagonal narrow unfold im2col col2im reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d movedim unflatten as_strided cumsum channel_shuffle "
        "native_channel_shuffle tril triu"
    ).split()
} | {
    "add": (0, 1),
    "sub": (0, 1),
    "rsub": (0, 1),
    "where": (1, 2),
    "masked_fill": (0, 2),
    "select_scatter": (0, 1),
    "slice_scatter": (0, 1),
    "diagonal_scatter": (0, 1),
    "as_strided_scatter": (0, 1),
    "index_put": (0, 2),
    "scatter": (0, 3),
    "scatter_add": (0, 3),
    "index_add": (0, 3),
    "copy": (0, 1),
    "fill": (0, 1),
}
"""Operation -> argument positions in which it is jointly affine; the others (masks, indices, sizes) must be fixed."""

PRODUCTS: dict[str, tuple[int, int]] = {
    **dict.fromkeys("mul mm bmm matmul linear convolution conv1d conv2d mv dot".split(), (0, 1)),
    **dict.fromkeys("addmm baddbmm addmv addr addbmm addcmul".split(), (1, 2)),
}
"""Operation -> the two arguments it multiplies: at most one of them may depend on the input."""

DIVISORS = {"div": 1, "addcdiv": 2}
"""Operation -> the argument it divides by, which must be fixed."""

SHAPE_ONLY = set(
    "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_empty_strided".split()
)
"""Operations that read no value of their input, only its shape: constants."""

REFUSALS = {
    "_softmax": "softmax (attention)",
    "native_layer_norm": "LayerNorm",
    "native_group_norm": "GroupNorm",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softplus": "softplus",
    "elu": "ELU",
    "celu": "CELU",
    "mish": "Mish",
    "glu": "GLU (a gate: product of two functions of the input)",
    "hardshrink": "Hardshrink (it jumps)",
    "threshold": "Threshold (it jumps)",
    "pow": "power",
    "round": "rounding",
    "floor": "rounding",
    "sort": "sorting",
    "native_dropout": "dropout in train mode",
    "rrelu_with_noise": "RReLU in train mode (random slopes)",
}


def is_random(node: Node) -> bool:
    """Does the operation draw random numbers?"""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def product_of_two(operation: str, places: set[int]) -> bool:
    """Does the operation multiply two functions of the input, or divide by one?"""
    pair = PRODUCTS.get(operation)
    return (pair is not None and places.issuperset(pair)) or DIVISORS.get(operation) in places


def why_not_affine(operation: str, node: Node, places: set[int]) -> str | None:
    """What to call an operation that is not affine where the input enters at `places`; `None` for an affine one.

    A place of -1 stands for a keyword argument. Products are judged by `product_of_two`.
    """
    if operation.startswith("_scaled_dot_product"):
        return "scaled dot-product attention"
    if operation in PRODUCTS or operation in DIVISORS:
        mode = node.kwargs.get("rounding_mode") if operation == "div" else None
        return f"division with rounding_mode={mode!r} (a staircase)" if mode is not None else None
    if operation == "lerp":
        return "lerp with a weight that depends on the input" if 2 in places else None
    allowed = AFFINE.get(operation)
    if allowed is None:
        return REFUSALS.get(operation, f"the operation {operation!r}")
    if not places <= set(allowed):
        return f"{operation!r} with a mask, an index or a size that depends on the input"
    if _to_integers(node):
        return f"{operation!r} to whole numbers (a staircase)"
    return None


def _to_integers(node: Node) -> bool:
    value: Any = node.meta.get("val")
    return isinstance(value, Tensor) and not value.is_floating_point()
