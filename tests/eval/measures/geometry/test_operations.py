"""Where an operation may read its input: against the names of its arguments in PyTorch's own schemas."""

from __future__ import annotations

import pytest
import torch

from eval.measures.geometry.operations import AFFINE, DIVISORS, FIRST, PRODUCTS, product_of_two, why_not_affine

VALUES = {"self", "other", "src", "source", "value", "values", "input", "tensors", "tensor", "grad_output"}
FACTORS = {"mat", "self", "other", "input", "weight", "mat1", "mat2", "batch1", "batch2", "vec", "vec1", "vec2",
           "tensor", "tensor1", "tensor2"}  # fmt: skip
ADDED = set("addmm baddbmm addmv addr addbmm addcmul".split())


def schemas(operation: str) -> list[list[str]]:
    """The argument names of every overload; those that hold tensors (or a list of them)."""
    packet = getattr(torch.ops.aten, operation)
    found = []
    for overload in packet.overloads():
        arguments = getattr(packet, overload)._schema.arguments
        if "out" not in overload and not any(argument.name == "out" for argument in arguments):
            found.append([argument.name if "Tensor" in str(argument.type) else "" for argument in arguments])
    return found


@pytest.mark.parametrize("operation", [name for name, places in AFFINE.items() if places != FIRST])
def test_affine_places_are_the_values_of_the_schema(operation: str):
    node = torch.fx.Graph().placeholder("x")
    found = {tuple(i for i, name in enumerate(names) if name in VALUES) for names in schemas(operation)}
    assert AFFINE[operation] in found
    for place in range(5):
        why = why_not_affine(operation, node, {place})
        assert (why is None) == (place in AFFINE[operation])


@pytest.mark.parametrize("operation", PRODUCTS)
def test_factors_are_those_of_the_schema(operation: str):
    if operation in ADDED:  # the first argument is added to the product of the other two
        found = {tuple(i for i, name in enumerate(names) if name in FACTORS - {"self"}) for names in schemas(operation)}
    else:
        found = {tuple(i for i, name in enumerate(names) if name in FACTORS)[:2] for names in schemas(operation)}
    assert PRODUCTS[operation] in found
    first, second = PRODUCTS[operation]
    assert product_of_two(operation, {first, second, 7}) and not product_of_two(operation, {first})
    assert not product_of_two(operation, {second})


@pytest.mark.parametrize(("operation", "divisor"), [("div", "other"), ("addcdiv", "tensor2")])
def test_what_divides_must_be_fixed(operation: str, divisor: str):
    places = {names.index(divisor) for names in schemas(operation) if divisor in names}
    assert DIVISORS[operation] in places
    for place in range(3):
        assert product_of_two(operation, {place}) == (place == DIVISORS[operation])


def test_operations_on_their_first_argument_have_a_tensor_there():
    for operation in [name for name, places in AFFINE.items() if places == FIRST]:
        packet = getattr(torch.ops.aten, operation, None)
        if packet is not None:
            assert any(names and names[0] for names in schemas(operation)), operation
