"""A compiled function computes what its Python body computes, and a checker's wrapper is taken off first."""

from __future__ import annotations

import functools

from eval.measures.compiled import compiled


def _total(values: tuple[int, ...]) -> int:
    out = 0
    for value in values:
        out += value
    return out


def test_a_compiled_function_computes_what_its_body_does():
    assert compiled()(_total)((1, 2, 3)) == _total((1, 2, 3)) == 6


def test_a_wrapper_is_taken_off():
    @functools.wraps(_total)
    def checked(*arguments: object) -> int:
        raise AssertionError("the wrapper was compiled")

    made = compiled(inline="never")(checked)
    assert getattr(made, "py_func", made) is _total
    assert not getattr(made, "targetoptions", {}).get("parallel", False)
