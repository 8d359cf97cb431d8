"""Which features are chosen: torch's sorted top k and plain comparisons are the oracles; ties and NaN are planted."""

import pytest
import torch

from eval.measures.dictionaries.selection import above, largest_by_row, largest_of_all


def scores(rows=40, features=30, levels=0):
    drawn = torch.randn(rows, features, generator=torch.Generator().manual_seed(0))
    return (drawn * levels).round() / levels if levels else drawn


def kept(chosen):
    """Sorted (index, value) pairs of each row, without what fills it up."""
    rows = zip(chosen.indices.tolist(), chosen.values.tolist(), chosen.counts.tolist(), strict=True)
    return [list(zip(i[:n], v[:n], strict=True)) for i, v, n in rows]


@pytest.mark.parametrize("k", [1, 7, 29, 30])
def test_the_k_largest_of_a_row_are_torchs(k):
    x = scores()
    values, indices = x.topk(k, dim=1)
    expected = [sorted(zip(i, v, strict=True)) for i, v in zip(indices.tolist(), values.tolist(), strict=True)]
    assert [sorted(row) for row in kept(largest_by_row(x, k))] == expected


def test_equal_scores_are_taken_from_the_lowest_index():
    x = scores(levels=1)
    for row, own in zip(kept(largest_by_row(x, 5)), x, strict=True):
        order = torch.sort(own, descending=True, stable=True).indices[:5].sort().values.tolist()
        assert [index for index, _ in row] == order
    assert kept(largest_by_row(torch.zeros(1, 4), 2)) == [[(0, 0.0), (1, 0.0)]]


def test_of_a_batch_exactly_as_many_are_kept_and_no_smaller_score():
    x = scores() + 4
    x[0] += 5
    chosen, smallest = largest_of_all(x, 120)
    rows = kept(chosen)
    assert sum(map(len, rows)) == 120 and len(rows[0]) == 30
    assert (
        smallest == float(x.flatten().topk(120).values.min()) == pytest.approx(min(v for row in rows for _, v in row))
    )
    few, least = largest_of_all(-x, 120)
    assert least == 1e-12 and int(few.counts.sum()) == 0 and few.values.shape == (40, 1)


def test_above_a_floor_of_its_own_each_feature_is_kept():
    x, floor = scores(), torch.linspace(-1, 1, 30)
    assert kept(above(x, floor)) == [[(f, float(row[f])) for f in range(30) if row[f] > floor[f]] for row in x]
    assert above(x, torch.full((30,), 9.0)).counts.tolist() == [0] * 40


def test_what_is_not_a_number_is_chosen_so_that_a_loss_shows_it():
    x = scores()
    x[3, 4] = float("nan")
    assert largest_by_row(x, 2).values[3].isnan().any()
    assert largest_of_all(x, 80)[0].values[3].isnan().any()
    assert above(x, torch.full((30,), 9.0)).values[3].isnan().any()
