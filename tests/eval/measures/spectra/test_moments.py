"""Streaming moments against float64 NumPy, for narrow and wide sites, split, merged, saved and loaded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.errors import UserError
from eval.measures.spectra.document_moments import group_of
from eval.measures.spectra.half_scatter import HalfScatter
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.power_law import power_law_exponent


def tokens_of(spectrum, n_tokens, seed=0, offset=3.0):
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.standard_normal((len(spectrum), len(spectrum))))[0]
    tokens = (generator.standard_normal((n_tokens, len(spectrum))) * np.sqrt(spectrum)) @ rotation.T
    return (tokens + offset * generator.standard_normal(len(spectrum))).astype(np.float32)


def fed(tokens, documents=None, step=700, **names):
    moments = Moments(tokens.shape[1], **names)
    for first in range(0, len(tokens), step):
        part = None if documents is None else documents[first : first + step]
        moments.update(torch.from_numpy(tokens[first : first + step]), part, batch=first // step)
    return moments


@pytest.mark.parametrize("width", [64, 400])
@pytest.mark.parametrize("kind", ["power law", "outlier direction", "late outlier token"])
def test_top_eigenvalues_and_alpha_equal_float64_numpy_to_1e_5(width, kind):
    spectrum = np.arange(1, width + 1.0) ** -1
    if kind == "outlier direction":
        spectrum[0] = 1e5 * spectrum[49]
    tokens = tokens_of(spectrum, 2500)
    if kind == "late outlier token":
        tokens[2000, 7] = 30000
    reference = np.linalg.eigvalsh(np.cov(tokens.astype(float).T))[::-1]
    moments = fed(tokens)
    top = min(200, width)
    np.testing.assert_allclose(moments.eigenvalues()[:top], reference[:top], rtol=1e-5)
    assert power_law_exponent(moments.eigenvalues()) == pytest.approx(power_law_exponent(reference), rel=1e-5)
    np.testing.assert_allclose(moments.mean(), tokens.mean(0, dtype=float), rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(0, 80), min_size=0, max_size=4), st.integers(0, 5))
def test_any_split_into_batches_and_accumulators_gives_numpy_covariance(width, cuts, seed):
    tokens = tokens_of(np.arange(1, width + 1.0) ** -0.5, 80, seed)
    documents = np.random.default_rng(seed).integers(0, 9, size=80)
    parts = np.split(np.arange(80), sorted(cuts))
    merged = Moments(width)
    for part in parts:
        if len(part):
            merged.merge(fed(tokens[part], documents[part], step=17))
    np.testing.assert_allclose(merged.covariance(), np.atleast_2d(np.cov(tokens.astype(float).T)), atol=1e-8)
    assert merged.n_tokens == 80 and merged.n_documents == len(np.unique(documents))


def test_halves_are_by_document_and_add_up():
    tokens, documents = tokens_of(np.arange(1, 301.0) ** -1, 900), np.repeat(np.arange(45), 20)
    moments = fed(tokens, documents, step=256)
    half = group_of(documents) % 2
    for side in (0, 1):
        np.testing.assert_allclose(
            moments.covariance(side), np.cov(tokens[half == side].astype(float).T), atol=1e-6 * 9
        )
    assert 0.2 < half.mean() < 0.8


def test_merge_is_one_pass_also_for_documents_cut_in_two():
    tokens, documents = tokens_of(np.arange(1, 301.0) ** -1, 1200), np.repeat(np.arange(30), 40)
    whole = fed(tokens, documents)
    merged = fed(tokens[:610], documents[:610]).merge(fed(tokens[610:], documents[610:]))
    np.testing.assert_allclose(merged.eigenvalues()[:200], whole.eigenvalues()[:200], rtol=1e-6)
    shared, again = (m.documents.shared_profile(300) for m in (whole, merged))
    np.testing.assert_allclose(shared, again, atol=1e-6)
    assert merged.documents.dispersion(shared, (10, 50)) == pytest.approx(
        whole.documents.dispersion(shared, (10, 50)), rel=1e-4
    )


def test_state_continues_where_it_stopped(tmp_path):
    tokens, documents = tokens_of(np.arange(1, 301.0) ** -1, 800), np.repeat(np.arange(20), 40)
    straight = fed(tokens, documents, step=400)
    np.savez(tmp_path / "state.npz", **fed(tokens[:400], documents[:400], step=400).state())
    resumed = Moments(300)
    with np.load(tmp_path / "state.npz") as saved:
        resumed.load(dict(saved))
    resumed.update(torch.from_numpy(tokens[400:]), documents[400:])
    np.testing.assert_array_equal(resumed.eigenvalues(), straight.eigenvalues())
    assert resumed.n_documents == 20


def test_memory_is_predicted_and_independent_of_tokens():
    def kept(moments):
        skipped = ("identifiers", "lengths", "anonymous")
        return sum(v.nbytes for k, v in moments.state().items() if not k.endswith(skipped))

    small, large = (fed(tokens_of(np.ones(300), n), np.arange(n) % 50) for n in (300, 3000))
    assert kept(small) == kept(large)
    assert Moments.memory_bytes(300) == pytest.approx(kept(large), rel=0.1)
    assert HalfScatter.bytes(3072) < 1.1 * 8 * 3072**2


def test_shared_variance_is_estimated_from_documents():
    generator = np.random.default_rng(0)
    scale = np.arange(1, 65.0) ** -0.5
    lengths = generator.integers(5, 80, size=150)
    documents = np.repeat(np.arange(150), lengths)
    own, common = generator.standard_normal((len(documents), 64)), generator.standard_normal((150, 64))
    for share in (0.0, 0.5):
        tokens = (np.sqrt(1 - share) * own + np.sqrt(share) * common[documents]) * scale
        moments = fed(tokens.astype(np.float32), documents)
        profile = moments.documents.shared_profile(64)
        assert profile[9:].mean() == pytest.approx(share, abs=0.05)
        assert moments.documents.dispersion(profile, (10, 50)) == pytest.approx(1, abs=0.15)


def test_neighbouring_tokens_raise_the_dispersion():
    generator = np.random.default_rng(0)
    fresh = generator.standard_normal((4000, 60))
    repeated = np.repeat(fresh, 4, axis=0)[:8000].astype(np.float32) * np.arange(1, 61.0) ** -0.5
    documents = np.repeat(np.arange(200), 40)
    moments = fed(repeated.astype(np.float32), documents)
    assert moments.documents.dispersion(np.zeros(60), (10, 50)) == pytest.approx(4, rel=0.15)


def test_single_token_documents_share_nothing():
    moments = fed(tokens_of(np.ones(60), 500))
    assert moments.n_documents == 500 and not moments.documents.shared_profile(60).any()


def test_error_texts():
    moments = Moments(4, site="blocks.3.mlp.hook_out")
    moments.update(torch.ones(3, 4))
    bad = torch.ones(3, 4)
    bad[1, 2] = float("nan")
    with pytest.raises(
        UserError, match=r"finite activations at blocks.3.mlp.hook_out; got 1 .* batch 7 .*token 1, comp"
    ):
        moments.update(bad, batch=7)
    bad[1, 2] = float("-inf")
    with pytest.raises(UserError, match=r"batch 8"):
        moments.update(bad, batch=8)
    assert moments.n_tokens == 3
    with pytest.raises(UserError, match=r"expected activations \[token, 4\] at blocks.3.mlp.hook_out; got \[3, 5\]"):
        moments.update(torch.ones(3, 5))
    with pytest.raises(UserError, match=r"got 2 identifiers for 3 tokens"):
        moments.update(torch.ones(3, 4), np.zeros(2))
    with pytest.raises(UserError, match=r"expected at least 2 tokens at site; got 0"):
        Moments(4).covariance()
    with pytest.raises(UserError, match=r"expected moments 4 wide; got 5"):
        moments.merge(Moments(5))


@pytest.mark.parametrize("width", [40, 300])
def test_one_half_after_the_other_is_the_whole(width):
    """A stream whose first batches hold one half of the documents only keeps its first shift."""
    tokens = tokens_of(np.arange(1, width + 1.0) ** -0.5, 900)
    scatter = HalfScatter(width)
    for first, half in ((0, 0), (300, 0), (600, 1)):
        scatter.update(torch.from_numpy(tokens[first : first + 300]), np.full(300, half))
    exact = tokens.astype(float)
    np.testing.assert_allclose(scatter.mean(), exact.mean(0), rtol=1e-5, atol=1e-6)
    expected = (exact - exact.mean(0)).T @ (exact - exact.mean(0))
    np.testing.assert_allclose(scatter.scatter(), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(scatter.scatter(), scatter.scatter((0, 1)))
    first = exact[:600] - exact[:600].mean(0)
    np.testing.assert_allclose(scatter.scatter((0,)), first.T @ first, atol=1e-5 * np.abs(expected).max())
    assert not HalfScatter(width).scatter().any()


def test_dispersion_is_the_ratio_of_observed_to_expected_deviations_also_for_groups_of_one_token():
    """Recomputed with loops over groups and pairs of directions."""
    documents = np.arange(30)
    tokens = np.random.default_rng(0).standard_normal((30, 4)) * [2.0, 1.5, 1.0, 0.7]
    moments = fed(tokens.astype(np.float32), documents)
    group = group_of(documents)
    centred = tokens - tokens.mean(0)
    found = expected = 0.0
    for side in (0, 1):
        mine = [centred[group == g] for g in range(16) if g % 2 == side and (group == g).any()]
        other = np.concatenate([centred[group == g] for g in range(16) if g % 2 != side])
        directions = np.linalg.eigh(other.T @ other)[1][:, ::-1][:, 1:]
        mine = [rows @ directions for rows in mine]
        total = sum(len(rows) for rows in mine)
        covariance = sum(rows.T @ rows for rows in mine) / total
        for i in range(3):
            for j in range(i + 1, 3):
                scale = covariance[i, i] * covariance[j, j]
                variance = 1 + covariance[i, j] ** 2 / scale  # of one token's product
                for rows in mine:
                    n = len(rows)
                    deviation = (rows[:, i] * rows[:, j]).sum() - n * covariance[i, j]
                    found += deviation**2 / scale
                    expected += (1 - 2 * n / total) * n * variance
                expected += sum(len(rows) ** 2 for rows in mine) / total**2 * total * variance
    assert min(np.bincount(group)[np.bincount(group) > 0]) == 1
    assert moments.documents.dispersion(np.zeros(4), (2, 4)) == pytest.approx(found / expected, rel=1e-4)
