"""Arrays of one's own: NumPy and torch give one answer, intervals are over documents, bad input is one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.array_results import action, cluster_codes, spectrum
from eval.errors import UserError
from eval.measures.projections.projection import expected_action, minimum_action
from eval.measures.spectra.spectrum import Spectrum
from eval.results import load_result


@pytest.fixture(scope="module")
def activations():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3000, 80)) * np.arange(1, 81) ** -0.5


DOCUMENTS = np.repeat(np.arange(100), 30)


def test_a_spectrum_of_an_array(activations, tmp_path):
    found = spectrum(activations, documents=DOCUMENTS)
    assert np.allclose(found.eigenvalues, Spectrum.of_samples(activations).eigenvalues)
    assert found.alpha_corrected.low < -1 < found.alpha_corrected.high and found.n_documents == 100
    named = np.array([f"text {number}" for number in DOCUMENTS])
    assert spectrum(torch.from_numpy(activations), documents=named) == found
    assert load_result(found.save(tmp_path / "spectrum.json")) == found
    narrow = spectrum(activations[:, :20], documents=DOCUMENTS)
    assert narrow.alpha is None and narrow.alpha_corrected.reason == narrow.alpha_reason


def test_the_action_of_an_array(activations):
    found = action(activations)
    assert found.action == pytest.approx(expected_action(activations))
    assert found.minimum_action == pytest.approx(minimum_action(activations).action_per_variance[0] / 3000, rel=1e-3)
    apart = action(torch.from_numpy(activations), documents=torch.from_numpy(DOCUMENTS))
    assert (apart.n_trajectories, apart.n_steps) == (100, 2900)
    assert apart.action == pytest.approx(np.mean([expected_action(activations[DOCUMENTS == n]) for n in range(100)]))
    assert apart.action_per_variance.low < 1 < apart.action_per_variance.high  # white noise
    still = action(np.ones((5, 3)))
    assert still.action is None and still.reason == "the activations do not vary"
    assert action(activations[:3], documents=[0, 1, 2]).reason == "no two neighbouring rows of one document"


def test_codes_of_an_array():
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.random((40, 128)) < p for p in 0.1 + 0.8 * (rng.random((3, 1, 128)) < 0.5)])
    found = cluster_codes(codes)
    assert found.n_clusters == 3 and found.labels.tolist() == cluster_codes(torch.from_numpy(codes)).labels.tolist()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: spectrum(x[0]), r"expected activations \[token, width\]; got shape \[80\]; pass rows"),
        (lambda x: spectrum(x * np.nan), "expected finite activations .* leave those rows out"),
        (
            lambda x: spectrum(x, documents=[1, 2]),
            r"one document identifier per row, 3000; got shape \[2\]; repeat them",
        ),
        (lambda x: cluster_codes(x), "expected codes of zeros and ones; got other values; pass activations > 0"),
    ],
)
def test_error_texts(activations, call, text):
    with pytest.raises(UserError, match=text):
        call(activations)
