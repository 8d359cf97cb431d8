"""Vision side by side: channels-last against plain layout, all projections at once against one by one, exact spectrum
against the paper's randomized recipe; and spectra of all ReLU sites of ResNet-18 at 224 px within memory."""

import resource
import time

import numpy as np
import pytest
import torch

from eval.measures.projections.projection import explained_variance
from eval.measures.spectra.spectrum import Spectrum, randomized_eigenvalues
from vision_codes.harvest import sites
from vision_codes.lenses.projections.readout import arc_masks, explained_variances
from vision_codes.lenses.spectra.study import spectra
from vision_codes.resnet_vae import build
from vision_codes.stimuli import moving_dot, random_images
from vision_codes.vae_architecture import Architecture
from vision_codes.vae_loss import vae_loss

SMALL = Architecture(image_size=64, base_width=8, fully_connected=512, latent=128, dropout=0.2, pooling="flatten")


def best_seconds(call, repeats: int = 5) -> float:
    """Least processor time of several calls: other programs on the machine only add."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def training_step(layout):
    model = build(SMALL, 0).to(memory_format=layout).train()  # pyright: ignore[reportCallIssue]
    images = torch.rand(50, 3, 64, 64).contiguous(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        vae_loss(model(images), images).total.backward()
        optimizer.step()

    return step


@pytest.mark.benchmark
def test_channels_last_is_not_slower():
    steps = {
        name: training_step(layout)
        for name, layout in (("plain", torch.contiguous_format), ("last", torch.channels_last))
    }
    for step in steps.values():
        step()
    seconds = {name: best_seconds(step) for name, step in steps.items()}
    print({name: f"{50 / value:.0f} images per processor second" for name, value in seconds.items()})
    assert seconds["last"] < 1.1 * seconds["plain"]


@pytest.mark.benchmark
def test_explained_variance_of_many_projections_at_once():
    stimulus = moving_dot(200, image_size=64)
    paths = np.random.default_rng(0).standard_normal((200, 200, 3))
    masks = arc_masks(200)

    def one_by_one():
        return [[explained_variance(path, stimulus.coordinates, mask) for mask in masks] for path in paths]

    ratio = best_seconds(one_by_one, 2) / best_seconds(lambda: explained_variances(paths, stimulus.coordinates), 2)
    print(f"explained variance of 200 projections: {ratio:.1f}x")
    assert ratio > 3


@pytest.mark.benchmark
def test_exact_spectrum_against_the_papers_randomized_recipe():
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((3000, 1024)) * np.arange(1, 1025) ** -0.5
    exact = Spectrum.of_samples(rows).eigenvalues
    error = np.abs(randomized_eigenvalues(rows)[:900] / exact[:900] - 1).max()
    ratio = best_seconds(lambda: randomized_eigenvalues(rows), 2) / best_seconds(lambda: Spectrum.of_samples(rows), 2)
    print(f"randomized PCA: {ratio:.1f}x the time of the exact spectrum, up to {error:.1%} off")
    assert ratio > 1


@pytest.mark.benchmark
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("n_images", [5000])
def test_all_sites_of_resnet18_at_224_pixels_stay_below_8_gb(n_images):
    model = build(Architecture(), 0).eval()
    found = spectra(model, random_images(n_images, 3, 32), correct=False, batch_size=25)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(sites(model))} sites, {n_images} images at 224 px: peak {peak:.2f} GB")
    assert len(found.rows) == 17 and peak < 8
