"""Documents as token ids: those that a script tokenised itself are read as they are, and checked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes.corpus import load_corpus

IDS = np.random.default_rng(0).integers(1, 300, size=(25, 40))


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model_folder)


def test_token_ids_are_read_as_they_are(tokenizer):
    import datasets
    import pandas

    sources = {
        "array": IDS,
        "tensor": torch.from_numpy(IDS),
        "lists": IDS.tolist(),
        "arrays": list(IDS),
        "with a BOS of their own": np.hstack([np.full((25, 1), tokenizer.bos_token_id), IDS]),
    }
    rows = [{"input_ids": ids} for ids in IDS.tolist()]
    columns = {"frame": pandas.DataFrame(rows), "data set": datasets.Dataset.from_list(rows)}
    found = {name: load_corpus(source, tokenizer, context=41) for name, source in sources.items()}
    found |= {name: load_corpus(s, tokenizer, context=41, text_column="input_ids") for name, s in columns.items()}
    for name, corpus in found.items():
        assert corpus.n_documents == 25 and (corpus.tokens[:, 0] == tokenizer.bos_token_id).all(), name
        assert sorted(corpus.tokens[:, 1:].tolist()) == sorted(IDS.tolist()), name
    assert len({corpus.describe()["sha256"] for name, corpus in found.items() if "BOS" not in name}) == 1


def test_documents_of_several_lengths(tokenizer):
    corpus = load_corpus([[5] * 10, [6] * 20, []], tokenizer, context=16, prepend_bos=False)
    assert corpus.n_tokens == 10 + 16 and corpus.n_documents == 2  # four tokens are no window


def test_nested_columns_of_a_frame(tokenizer):
    import pandas

    texts = [f"the cat {number} sat on the mat and the dog ran" for number in range(3)]
    frame = pandas.DataFrame([{"meta": {"text": text}} for text in texts])
    nested = load_corpus(frame, tokenizer, context=32, text_column="meta.text")
    assert nested.describe()["sha256"] == load_corpus(texts, tokenizer, context=32).describe()["sha256"]
    with pytest.raises(UserError, match="no column 'meta.body' in row 0: it has meta; pass --text-column"):
        load_corpus(frame, tokenizer, text_column="meta.body")


def test_ids_that_are_no_tokens(tokenizer):
    for source, text in (
        ([[1, 2, 99_999]], rf"expected token ids below {len(tokenizer)}, the size of the tokenizer; got 99999 in #0"),
        ([[1, -2]], "got -2 in #0; tokenise with the model's own tokenizer"),
        (IDS[0], r"expected token ids \[document, token\]; got 1 axes; pass one row per document"),
        (IDS / 2, "expected a text or a row in row 0; got list"),
        ([[True, False]], "expected a text or a row in item 0; got list"),
    ):
        with pytest.raises(UserError, match=text):
            load_corpus(source, tokenizer)
