"""Real speeches and their copies with every eighth word changed: none stands on both sides of a run's split."""

from __future__ import annotations

import numpy as np
import pytest

from eval.explanation.windows import SPLITS, leakage
from llm_codes.corpus import load_corpus
from llm_codes.documents import sotu_documents
from llm_codes.lenses.explain.recording import choose_windows
from llm_codes.models import load_model

COPIED, OTHERS, WORDS = 30, 20, 400


def speeches_and_copies(header: str) -> list[str]:
    """50 speeches, and 30 of them again behind a header, every eighth word from another speech."""
    speeches = [one.text.split()[:WORDS] for one in sotu_documents()[: COPIED + OTHERS]]
    generator = np.random.default_rng(0)
    words = [word for speech in speeches for word in speech]
    copies = []
    for speech in speeches[:COPIED]:
        changed = [words[generator.integers(len(words))] if n % 8 == 3 else word for n, word in enumerate(speech)]
        copies.append(header + " ".join(changed))
    return [" ".join(speech) for speech in speeches] + copies


@pytest.mark.parametrize("header", ["", "Copied by hand, from the printed edition, for the use of the library. " * 2])
def test_no_copy_stands_on_the_other_side(header: str) -> None:
    model = load_model("embedded")
    corpus = load_corpus(speeches_and_copies(header), model, context=65, split="all")
    named = {name: number for number, name in enumerate(corpus.documents)}  # shuffled
    for seed in range(3):
        _, windows, _ = choose_windows(model, corpus, calibrate=True, seed=seed)
        sides = {int(one): set(windows.split[windows.document == one].tolist()) for one in set(windows.document)}
        for original in range(COPIED):
            pair = (named[f"#{original}"], named[f"#{original + COPIED + OTHERS}"])
            assert len(set.union(*(sides[one] for one in pair if one in sides))) == 1
        assert set.union(*sides.values()) == set(range(len(SPLITS)))
        audit = leakage(windows, {split: windows.of(split).tolist() for split in SPLITS})
        assert audit["shared_documents"] == audit["near_duplicates"] == audit["near_duplicate_documents"] == 0
