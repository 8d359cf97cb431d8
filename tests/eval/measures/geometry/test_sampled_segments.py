"""Sampled counts: what fewer samples would have found can be read off more of them."""

from __future__ import annotations

import torch

from eval.measures.geometry.sampled_segments import coarsened, sampled_crossings
from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import everything


def test_coarsened_is_what_fewer_samples_would_have_found() -> None:
    program = trace(everything(), torch.randn(3, 9, 9)).to(torch.float64)
    start, end = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    fine = sampled_crossings(program, start, end, n_samples=21)
    for n in (11, 6, 5, 3, 2):
        own, derived = sampled_crossings(program, start, end, n_samples=n), coarsened(fine, n)
        rows = [sorted(zip(c.t.round(9), c.site, c.unit, c.before, c.after, strict=True)) for c in (own, derived)]
        assert rows[0] == rows[1] and derived.counting == "sampled lower bound"
    assert coarsened(fine, 11).count < fine.count
