"""One threshold for k active features per row: exact, whatever the batches, against a sort of everything."""

import pytest
import torch

from eval.errors import UserError
from eval.measures.dictionaries.thresholds import shift_for_mean_active, threshold_for_mean_active


@pytest.mark.parametrize("parts", [1, 7, 300])
@pytest.mark.parametrize("k", [1, 5.5, 20])
def test_k_scores_per_row_lie_above_it(parts, k):
    scores = torch.randn(300, 64, generator=torch.Generator().manual_seed(0))
    found = threshold_for_mean_active(scores.chunk(parts), k, 300)
    assert int((scores > found).sum()) == round(k * 300)
    assert found < scores.flatten().sort(descending=True).values[round(k * 300) - 1]


def test_where_too_few_scores_are_positive_all_of_them_stay():
    scores = torch.full((10, 4), -1.0)
    scores[:, 0] = 2.0
    assert threshold_for_mean_active([scores], 3, 10) == 0.0


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("k", [1, 5.5, 60])
def test_k_scores_per_row_lie_above_the_shift_at_any_sign(parts, k):
    scores = torch.randn(300, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    found = shift_for_mean_active(scores.chunk(parts), k, 300)
    assert int((scores > found).sum()) == round(k * 300) and (found < 0) == (k == 60)
    with pytest.raises(UserError, match="expected at least 19500 scores for k=65; got 19200; lower k"):
        shift_for_mean_active([scores], 65, 300)


@pytest.mark.parametrize(("k", "rows"), [(0, 10), (3, 0)])
def test_nothing_to_calibrate_on_is_refused(k, rows):
    with pytest.raises(UserError, match="expected rows and k above 0; got .* give activations to calibrate on"):
        threshold_for_mean_active([], k, rows)
