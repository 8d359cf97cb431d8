"""One place of every image: planted clusters are found there, and flow on, whatever stands elsewhere in the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from eval.errors import UserError
from eval.measures.geometry.tracing import trace
from vision_codes.lenses.polytopes.positions import fixed_position, middle_places

SIDE, CLASSES = 9, 4


@pytest.fixture(scope="module")
def program():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 24, 1), nn.ReLU(), nn.Conv2d(24, 24, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(24, CLASSES), nn.ReLU(),
    )  # fmt: skip
    return trace(net.eval(), torch.zeros(3, SIDE, SIDE))


def images(noise: float) -> tuple[torch.Tensor, np.ndarray]:
    """A colour of its class in the middle of every image, noise everywhere else."""
    generator = torch.Generator().manual_seed(1)
    labels = np.repeat(np.arange(CLASSES), 12)
    colours = 2 * torch.randn(CLASSES, 3, generator=generator)
    x = torch.randn(len(labels), 3, SIDE, SIDE, generator=generator)
    x[:, :, SIDE // 2, SIDE // 2] = colours[labels] + noise * torch.randn(len(labels), 3, generator=generator)
    return x, labels


def test_the_middle_is_what_the_network_computes_there(program) -> None:
    x, _ = images(1.0)
    sites = [step.site for step in program.sites[:2]]
    first, second = middle_places(program, x, sites, batch_size=7)
    with torch.no_grad():
        by_hand = torch.nn.functional.conv2d(x, *_weights(program, x))[:, :, 4, 4]
    np.testing.assert_allclose(first.before, by_hand.numpy(), rtol=1e-4, atol=1e-5)
    assert first.after.min() >= 0 and second.after.max() <= 6 and second.before.shape == (48, 24)
    with pytest.raises(UserError, match="expected convolutional switches; got"):
        middle_places(program, x, [program.sites[2].site])
    with pytest.raises(UserError, match="unknown site 'nothing'"):
        middle_places(program, x, ["nothing"])


def _weights(program, x):
    torch.manual_seed(0)
    first = nn.Conv2d(3, 24, 1)
    return first.weight.detach(), first.bias.detach()


def test_planted_colours_are_clusters_and_flow_on_whole(program) -> None:
    x, labels = images(0.01)
    found = fixed_position(program, x, labels, [step.site for step in program.sites[:2]], min_cluster_size=8)
    assert [(row.of, row.n_clusters, row.below_null) for row in found.clusters] == [
        *[("codes", CLASSES, CLASSES), ("activations", CLASSES, CLASSES)] * 2,
        ("codes of all sites", CLASSES, CLASSES),
    ]
    flow = next(iter(found.flow)).flow
    assert len(found.flow) == 1
    assert (flow.split, flow.merged, flow.in_both) == (0, 0, 48)
    assert flow.agreement.value == pytest.approx(1) and (flow.neighbours_kept.value or 0) > 0.4
    assert flow.neighbours_by_chance == pytest.approx(5 / 47)


def test_few_images_have_no_neighbours_to_keep_and_say_so(program) -> None:
    x, labels = images(1.0)
    sites = [step.site for step in program.sites[:2]]
    found = fixed_position(program, x[::10], labels[::10], sites, min_cluster_size=2)
    flow = next(iter(found.flow)).flow
    assert len(found.flow) == 1
    assert "5 images; 5 neighbours need 7" in str(flow.neighbours_kept.reason) and flow.neighbours_by_chance is None
