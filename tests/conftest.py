"""What every test shares: where data without a download lies, a tiny model, runtime-checked shapes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook

install_import_hook("eval.measures", "beartype.beartype")  # shapes and types of the measures are checked while testing

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("NEURAL_CODES_CACHE", str(Path(tempfile.gettempdir()) / f"neural-codes-tests-{os.getuid()}"))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "NEURAL_CODES_DATA" not in os.environ and (ROOT.parent / "shared" / "data").is_dir():
    os.environ["NEURAL_CODES_DATA"] = str(ROOT.parent / "shared" / "data")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that `NEURAL_CODES_DATA` names; tests that need it say so and are skipped by name without it."""
    folder = os.environ.get("NEURAL_CODES_DATA")
    if not folder:
        pytest.skip("needs the data folder: set NEURAL_CODES_DATA")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer GPT-2 of width 64 with its own tokenizer, untrained, as a Hub-style folder."""
    from eval.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-gpt2")
    text = ["the cat sat on the mat, and the dog ran after the cat.\n", "we hold these truths to be self-evident\n"]
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(text * 20, vocab_size=320, special_tokens=["<|endoftext|>"], show_progress=False)
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, bos_token=end, eos_token=end)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=64, n_head=2, vocab_size=320, n_positions=64, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty short documents as text files."""
    import numpy as np

    generator = np.random.default_rng(0)
    words = "the cat sat on mat and dog ran after we hold these truths to be self evident".split()
    folder = tmp_path_factory.mktemp("texts")
    for number in range(30):
        (folder / f"{number:02d}.txt").write_text(" ".join(generator.choice(words, 300)))
    return folder


@pytest.fixture(autouse=True, scope="session")
def every_results_file_keeps_its_schema() -> Iterator[None]:
    """Whatever `results.json` a test of this process writes is checked against the schema of its verb."""
    from eval.files import json_ready
    from eval.runs import Run
    from tests.schemas import mismatches

    usual = Run.finish

    def finish(run: Run, results: Mapping[str, Any], **provenance: Any) -> dict[str, Any]:
        whole = usual(run, results, **provenance)
        words = [word for word in run.command if word]
        wing = words[0].removeprefix("python -m ") if words else ""
        verb = words[1] if len(words) > 1 else ""
        for name in (" ".join(words[1:3]), verb):
            assert not (found := mismatches(wing, name, json_ready(whole))), found
        return whole

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "finish", finish)
        yield
