"""What every trainer's dictionary is read as: its formula written out, sparse as dense, batches, either protocol."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from eval.errors import UserError
from eval.measures.dictionaries.dictionary import TopKDictionary, encode_rows

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(13, 5, generator=GENERATOR)


def dictionary(k: int = 3, threshold: float | None = None) -> TopKDictionary:
    parts = [torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i, shape in
             enumerate([(9, 5), (9,), (9, 4), (4,), (5,)])]  # fmt: skip
    return TopKDictionary(*parts, k=k, threshold=threshold)


def written_out(one: TopKDictionary) -> Tensor:
    """relu(encoder (x - input bias) + encoder bias) of each row, feature by feature."""
    return torch.stack([(one.encoder @ (x - one.input_bias) + one.encoder_bias).relu() for x in X])


def test_the_k_features_that_write_most_are_kept():
    one = dictionary()
    dense, size = written_out(one), one.decoder.norm(dim=1)
    expected = torch.zeros_like(dense)
    for row, values in enumerate(dense):
        for feature in sorted(range(9), key=lambda i: -float(values[i] * size[i]))[:3]:
            expected[row, feature] = values[feature]
    torch.testing.assert_close(one.encode(X), expected)
    torch.testing.assert_close(dictionary(k=50).encode(X), dense)  # no more than there are


def test_a_threshold_keeps_what_writes_more_than_it():
    one = dictionary(threshold=1.5)
    dense, size = written_out(one), one.decoder.norm(dim=1)
    torch.testing.assert_close(one.encode(X), dense * (dense * size > 1.5))


def test_decoding_adds_the_bias_once_and_sparse_rows_decode_as_dense_ones():
    one = dictionary()
    features = one.encode(X)
    expected = torch.stack([sum((v * d for v, d in zip(row, one.decoder, strict=True)), one.decoder_bias)
                            for row in features])  # fmt: skip
    torch.testing.assert_close(one.decode(features), expected)
    torch.testing.assert_close(one.decode_rows(one.encode_rows(X)), expected)
    torch.testing.assert_close(one.decode(torch.zeros(2, 9)), one.offset.expand(2, 4))
    assert one.n_features == 9 and one.vectors is one.decoder


def test_a_feature_that_writes_nothing_is_not_chosen():
    one = dictionary()
    silent = replace(one, decoder=one.decoder * (torch.arange(9) != 2)[:, None])
    assert not silent.encode(X)[:, 2].any() and silent.encode(X).isfinite().all()


class Dense:
    """A dictionary of another trainer: dense features only."""

    n_features, vectors, offset = 5, torch.eye(5), torch.zeros(5)

    def encode(self, activations: Tensor) -> Tensor:
        return activations.relu()

    def decode(self, features: Tensor) -> Tensor:
        return features


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batches_change_nothing_and_either_protocol_is_read(batch_size: int):
    one = dictionary()
    torch.testing.assert_close(encode_rows(one, X, batch_size).dense(), one.encode(X))
    assert encode_rows(one, X, batch_size).indices.shape == (13, 3)
    torch.testing.assert_close(encode_rows(Dense(), X, batch_size).dense(), X.relu())


def test_a_dictionary_of_another_site_is_refused():
    unchecked = TopKDictionary.encode_rows
    with pytest.raises(UserError, match="expected activations 5 wide; got 6; was this dictionary trained at another"):
        unchecked(dictionary(), torch.zeros(2, 6))
