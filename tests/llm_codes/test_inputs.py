"""One way in: the same documents for every view, a view independent of the others, said in words and by content."""

from __future__ import annotations

import numpy as np
import pytest

from eval.errors import UserError
from llm_codes.configs.inputs import InputsOptions, WindowsOptions
from llm_codes.corpus import load_corpus
from llm_codes.inputs import excluded_in_words, open_inputs


@pytest.fixture(scope="module")
def inputs(tiny_model_folder, text_folder):
    return open_inputs(InputsOptions(model=str(tiny_model_folder), corpus=str(text_folder)))


def test_views_share_documents_and_do_not_depend_on_each_other(inputs, text_folder):
    long = inputs.windows(32)
    short = inputs.view(WindowsOptions(context=9, tokens=200))
    assert long.provenance == short.provenance
    alone = load_corpus(str(text_folder), inputs.model.tokenizer, context=9, n_tokens=200, split="all")
    assert np.array_equal(alone.tokens, short.tokens) and alone.describe() == short.describe()


def test_documents_are_tokenised_once(inputs, monkeypatch):
    inputs.windows(32)
    monkeypatch.setattr(inputs.documents, "_encoder", None)  # tokenising again would call it
    assert inputs.windows(16).n_tokens > 0


def test_windows_fit_the_model(inputs, capsys):
    assert inputs.view(WindowsOptions(context=1000)).context == inputs.windows().context == inputs.model.context == 64
    assert "windows of 64 tokens, the context of" in (said := capsys.readouterr().err) and "1,000 were asked" in said
    assert (
        inputs.view(WindowsOptions()).context == 64 and "asked for" not in capsys.readouterr().err
    )  # the default fits
    with pytest.raises(UserError, match="expected windows of at most 64 tokens, the context of .*; got 65; shorten"):
        inputs.windows(65)


def test_another_split_keeps_the_model(inputs):
    held_out, train = inputs.of_split("held-out"), inputs.of_split("train")
    assert held_out.model is inputs.model
    names = [set(part.windows(32).documents) for part in (held_out, train, inputs)]
    assert names[0] and names[0] | names[1] == names[2] and not names[0] & names[1]


def test_description_and_provenance(inputs):
    provenance = inputs.provenance()
    assert provenance["corpus"]["n_documents"] == 30
    assert provenance["corpus"]["sha256"] == inputs.windows(32).provenance["sha256"]
    words = inputs.describe()
    assert "30 documents" in words and provenance["corpus"]["sha256"][:12] in words and "(split: all)" in words
    assert "Position 0 (BOS) is left out of every statistic." in words


def test_positions_in_words():
    assert excluded_in_words(0, bos=True) == "No position is left out."
    assert excluded_in_words(1, bos=False) == "Position 0 is left out of every statistic."
    assert excluded_in_words(3, bos=True) == "Positions 0 to 2 of each window are left out of every statistic."


def test_what_a_lone_option_changes(tiny_model_folder, text_folder):
    named = open_inputs(model=str(tiny_model_folder), corpus=str(text_folder), exclude_positions=0, seed=3)
    assert (named.options.exclude_positions, named.seed) == (0, 3)
    assert named.positions() == "No position is left out."
    with pytest.raises(UserError, match="expected at least 1 token to read; got -5; mend --tokens"):
        named.windows(32, n_tokens=-5)
