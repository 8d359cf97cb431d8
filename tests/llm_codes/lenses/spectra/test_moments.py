"""The consumer that keeps the moments of every site: left-out positions wait for one another and lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from eval.errors import UserError
from llm_codes.lenses.spectra.moments import SiteMomentsConsumer
from llm_codes.sites import Site
from llm_codes.windows import Batch

SITE = Site("blocks.0.hook_out", "resid_post", 0, 6, "the residual stream after block 0")
WINDOWS, LENGTH, BATCHES = 5, 4, 130


def _batch(number: int) -> tuple[torch.Tensor, Batch, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    values = torch.randn(WINDOWS, LENGTH, SITE.width, generator=generator) * torch.arange(1, 7)
    mask = torch.ones(WINDOWS, LENGTH, dtype=torch.bool)
    keep = mask.clone()
    keep[:, 0] = False
    documents = torch.arange(WINDOWS) + number * WINDOWS
    return values, Batch(torch.zeros(WINDOWS, LENGTH, dtype=torch.long), mask, documents, documents), keep


def _fed(consumer: SiteMomentsConsumer, numbers: range) -> torch.Tensor:
    seen = []
    for number in numbers:
        values, batch, keep = _batch(number)
        consumer.update({SITE.hook: values}, batch, keep)
        seen.append(values[:, 0])
    return torch.cat(seen)


def test_left_out_positions_are_all_counted_and_equal_numpy() -> None:
    consumer = SiteMomentsConsumer([SITE], left_out=True)
    first = _fed(consumer, range(BATCHES))
    consumer.finish()
    moments = consumer.left_out[SITE.hook]
    assert moments.n_tokens == len(first) == WINDOWS * BATCHES
    assert moments.n_documents == WINDOWS * BATCHES
    assert_allclose(moments.covariance(), np.cov(first.double().numpy().T), rtol=1e-9)


def test_a_pass_continued_from_its_state_loses_no_waiting_row() -> None:
    whole, killed, continued = (SiteMomentsConsumer([SITE], left_out=True) for _ in range(3))
    _fed(whole, range(BATCHES))
    _fed(killed, range(70))
    continued.load(killed.state())
    _fed(continued, range(70, BATCHES))
    for consumer in (whole, continued):
        consumer.finish()
    ours, theirs = continued.left_out[SITE.hook], whole.left_out[SITE.hook]
    assert ours.n_tokens == theirs.n_tokens
    assert_allclose(ours.covariance(), theirs.covariance(), rtol=1e-9)


def test_a_left_out_row_that_is_not_finite_is_named_with_its_batch() -> None:
    consumer = SiteMomentsConsumer([SITE], left_out=True)
    _fed(consumer, range(3))
    values, batch, keep = _batch(3)
    values[2, 0, 4] = torch.nan
    with pytest.raises(UserError, match=r"finite activations at blocks.0.hook_out; got 1 NaN or infinite in batch 3"):
        consumer.update({SITE.hook: values}, batch, keep)
