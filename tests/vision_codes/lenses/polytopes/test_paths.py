"""Paths between few images: what is not there is undefined with its reason."""

import numpy as np
import torch

from eval.measures.geometry.tracing import trace
from tests.eval.measures.geometry.piecewise_networks import perceptron
from vision_codes.lenses.polytopes.paths import (
    count_along,
    interpolation,
    interpolation_summary,
)
from vision_codes.lenses.polytopes.results import InterpolationRow

OPTIONS = {"exact_up_to": 10**6, "samples": 5}


def summaries(labels: list[int], pairs: int = 4) -> dict[str, InterpolationRow]:
    torch.manual_seed(0)
    program = trace(perceptron(5, 12, 3), torch.zeros(5))
    x = torch.randn(len(labels), 5)
    paths = interpolation(program, "input", x, np.array(labels), pairs, 0, **OPTIONS)
    return {kind: interpolation_summary(path) for kind, path in paths.items()}


def test_one_image_a_class_has_no_pair_within_and_says_so() -> None:
    found = summaries([0, 1, 2, 3])
    assert found["intra"].n_paths == 0 and found["intra"].density is None
    assert found["intra"].reason == "no class has two images" and found["intra"].crossings is None
    assert found["inter"].n_paths == 4 and found["inter"].density > 0 and found["inter"].reason is None


def test_two_images_of_one_class_give_every_pair_asked_for() -> None:
    found = summaries([0, 0, 1, 2, 3], pairs=1)
    assert found["intra"].n_paths == 1 and found["intra"].density > 0 and found["intra"].density_se is None
    found = summaries([0, 0, 1, 2, 3], pairs=6)
    assert found["intra"].n_paths == 6 == found["inter"].n_paths
    assert found["intra"].density_se == 0  # one pair, there and back


def test_one_class_has_no_pair_between() -> None:
    assert summaries([1, 1, 1])["inter"].reason == "there is one class only"


def test_coincident_images_have_no_density() -> None:
    program = trace(perceptron(5, 12, 3), torch.zeros(5))
    x = torch.ones(2, 5)
    paths = interpolation(program, "input", x, np.array([0, 0]), 2, 0, **OPTIONS)["intra"]
    assert np.isnan(paths.density).all() and interpolation_summary(paths).reason == "every path has length zero"


def test_sampled_counts_stand_beside_those_of_half_the_samples() -> None:
    program = trace(perceptron(5, 40, 40, 3), torch.zeros(5))
    start, end = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)) * 3
    ((fine, coarse),) = count_along(program, [(start, end)], exact_up_to=0, samples=9)
    assert fine.counting == coarse.counting == "sampled lower bound" and coarse.count <= fine.count
    ((exact, same),) = count_along(program, [(start, end)], exact_up_to=10**6, samples=9)
    assert exact.counting == "exact" and exact is same and exact.count >= fine.count
