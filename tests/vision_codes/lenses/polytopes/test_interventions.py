"""A cluster's code set by hand: a planted cluster carries its class along, random switches do not."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from eval.measures.geometry.tracing import trace
from vision_codes.lenses.polytopes.interventions import UNITS, cluster_interventions
from vision_codes.lenses.polytopes.patches import channel_vectors, cluster_vectors

N_HIDDEN = 40


class _Marked(nn.Module):
    """Colour channel 0 turns 16 of 40 hidden channels on; these vote for class 1, the others for class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Conv2d(3, N_HIDDEN, 1), nn.ReLU(), nn.Linear(N_HIDDEN, 3)
        with torch.no_grad():
            self.first.weight.mul_(0.3)
            self.first.weight[:UNITS, 0] = 1.5
            self.first.bias[:UNITS] = 0.0
            self.last.weight.zero_()
            self.last.weight[1, :UNITS] = 0.3
            self.last.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.relu(self.first(x)).mean((2, 3)).abs())


def test_a_planted_cluster_carries_its_class_and_random_switches_do_not() -> None:
    torch.manual_seed(0)
    program = trace(_Marked().eval(), torch.zeros(3, 4, 4))
    labels = np.repeat([0, 1], 16)
    x = 0.1 * torch.randn(32, 3, 4, 4)
    x[:, 0] += torch.tensor(np.where(labels == 1, 2.0, -2.0), dtype=torch.float32)[:, None, None]
    site = program.sites[0].site
    vectors = channel_vectors(program, x, count=400, site=site)
    found, _ = cluster_vectors(vectors, labels, min_cluster_size=20)
    rows = cluster_interventions(program, x, vectors, found, count=8)
    marked = [row for row in rows if (labels[vectors.image[found.labels == row.cluster]] == 1).all()]
    assert marked and len(rows) == 2 * found.n_clusters
    assert [(row.cluster, row.values) for row in rows] == [
        (cluster, values) for cluster in range(found.n_clusters) for values in ("continued", "mirrored")
    ]
    assert all(0 <= row.flipped_per_place <= UNITS and row.n_images == 16 for row in rows)
    for row in marked:
        assert sorted(row.units) == list(range(UNITS))
        assert row.beyond_random.low is not None and row.beyond_random.low > 0
        assert row.beyond_random.value is not None and row.towards.value is not None
        assert row.towards.value > (row.towards_random.value or 0) and row.class_changed == 1
