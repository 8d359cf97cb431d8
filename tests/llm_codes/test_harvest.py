"""Harvest: every kept position once, nothing else; memory refused before the run; kill and resume; two processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.errors import UserError
from llm_codes import harvest as harvest_module
from llm_codes.corpus import load_corpus
from llm_codes.harvest import Checkpoint, harvest, predicted_bytes
from llm_codes.models import load_model
from llm_codes.sites import resolve_sites


class Collector:
    """Keeps everything: the oracle that real consumers must not be."""

    def __init__(self, sites):
        self.sites = sites
        self.rows: dict[str, list[torch.Tensor]] = {site.hook: [] for site in sites}
        self.windows: list[int] = []

    def update(self, activations, batch, keep):
        for hook, activation in activations.items():
            self.rows[hook].append(activation[keep])
        self.windows.extend(batch.window.tolist())

    def memory_bytes(self) -> int:
        return 1000

    def state(self):
        return {"windows": np.array(self.windows)} | {hook: torch.cat(rows).numpy() for hook, rows in self.rows.items()}

    def load(self, state):
        self.windows = state["windows"].tolist()
        self.rows = {site.hook: [torch.from_numpy(state[site.hook])] for site in self.sites}


@pytest.fixture(scope="module")
def model(tiny_model_folder):
    return load_model(str(tiny_model_folder))


@pytest.fixture(scope="module")
def corpus(model, text_folder):
    return load_corpus(str(text_folder), model.tokenizer, context=32, split="all")


def test_every_kept_position_once(model, corpus):
    sites = resolve_sites(model, ("resid_post", "mlp_post"))
    consumer = Collector(sites)
    tokens = harvest(model, corpus, [consumer], batch_size=5)
    assert tokens == corpus.mask.sum()
    assert sorted(consumer.windows) == sorted(corpus.window.tolist())
    hook = sites[0].hook
    read = torch.cat(consumer.rows[hook])
    mask = corpus.mask.copy()
    mask[:, 0] = False
    reference = model.activations(torch.from_numpy(corpus.tokens), [hook])[hook][torch.from_numpy(mask)]
    assert torch.allclose(read, reference, atol=1e-5)


def test_a_consumer_per_site_gets_each_site_alone_and_the_same_values(model, corpus):
    sites = resolve_sites(model, ("resid_post", "mlp_post"))
    alone, together = Collector(sites), Collector(sites[:2])
    alone.per_site, calls, update = True, [], alone.update

    def watched(activations, batch, keep):
        calls.append(tuple(activations))
        update(activations, batch, keep)

    alone.update = watched
    harvest(model, corpus, [alone, together], batch_size=64)
    assert all(len(call) == 1 for call in calls)
    assert [call[0] for call in calls[:4]] == [site.hook for site in sorted(sites, key=lambda s: (s.layer, s.kind))]
    for site in sites[:2]:
        assert torch.equal(torch.cat(alone.rows[site.hook]), torch.cat(together.rows[site.hook]))
    assert predicted_bytes(model, corpus, [alone], 8) < predicted_bytes(model, corpus, [Collector(sites)], 8)


def test_position_zero_on_request(model, corpus):
    sites = resolve_sites(model, ("resid_post",), [0])
    consumer = Collector(sites)
    harvest(model, corpus, [consumer], exclude_positions=0)
    assert len(torch.cat(consumer.rows[sites[0].hook])) == corpus.mask.sum()


def test_memory_is_refused_before_anything_runs(model, corpus, capsys):
    consumer = Collector(resolve_sites(model, ("resid_post",)))
    with pytest.raises(
        UserError, match=r"expected at most 1e-06 GB beyond the model, .* would be needed; lower --batch"
    ):
        harvest(model, corpus, [consumer], max_memory_gb=1e-6)
    assert consumer.windows == []
    assert "predicted peak memory" in capsys.readouterr().err
    assert predicted_bytes(model, corpus, [consumer], 8) > 1000


def test_nan_names_site_and_batch(model, corpus):
    hook = "blocks.1.hook_out"
    weight = model.bridge.original_model.transformer.h[1].mlp.c_proj.bias
    before = weight.data[0].item()
    weight.data[0] = float("nan")
    try:
        with pytest.raises(UserError, match=f"NaN or infinity at {hook} in batch 0; check the weights"):
            harvest(model, corpus, [Collector(resolve_sites(model, (hook,)))])
    finally:
        weight.data[0] = before


def test_an_interrupted_pass_continues(model, corpus, tmp_path, monkeypatch):
    sites = resolve_sites(model, ("resid_post",), [0])
    whole = Collector(sites)
    harvest(model, corpus, [whole], batch_size=4)
    checkpoint = Checkpoint(tmp_path / "pass", every_seconds=0.0)
    broken = Collector(sites)
    real = harvest_module.check_finite

    def stop(activations, number):
        if number == 7:
            raise KeyboardInterrupt
        real(activations, number)

    monkeypatch.setattr(harvest_module, "check_finite", stop)
    with pytest.raises(KeyboardInterrupt):
        harvest(model, corpus, [broken], batch_size=4, checkpoint=checkpoint)
    monkeypatch.setattr(harvest_module, "check_finite", real)
    again = Collector(sites)
    harvest(model, corpus, [again], batch_size=4, checkpoint=checkpoint)
    assert again.windows == whole.windows
    assert torch.equal(torch.cat(again.rows[sites[0].hook]), torch.cat(whole.rows[sites[0].hook]))
    assert not checkpoint.file.exists()


@pytest.mark.parametrize("fault", ["flipped byte", "other code"])
def test_a_pass_is_not_continued_from_damage_or_on_other_code(model, corpus, tmp_path, monkeypatch, capsys, fault):
    sites = resolve_sites(model, ("resid_post",), [0])
    checkpoint = Checkpoint(tmp_path / "pass", every_seconds=0.0)
    real, walked = harvest_module.check_finite, []

    def stop(activations, number):
        walked.append(number)
        if number == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(harvest_module, "check_finite", stop)
    with pytest.raises(KeyboardInterrupt):
        harvest(model, corpus, [Collector(sites)], batch_size=4, checkpoint=checkpoint)
    if fault == "flipped byte":
        content = bytearray(checkpoint.file.read_bytes())
        content[len(content) // 2] ^= 1
        checkpoint.file.write_bytes(bytes(content))
    else:
        monkeypatch.setattr(harvest_module, "code_of", lambda modules: "edited")
    walked.clear()
    monkeypatch.setattr(harvest_module, "check_finite", lambda a, number: walked.append(number) or real(a, number))
    harvest(model, corpus, [Collector(sites)], batch_size=4, checkpoint=checkpoint)
    assert walked[0] == 0
    assert ("is damaged" in capsys.readouterr().err) == (fault == "flipped byte")


def test_windows_longer_than_the_context(model, text_folder):
    long = load_corpus(str(text_folder), model.tokenizer, context=65, split="all")
    with pytest.raises(UserError, match="windows of 65 tokens exceed the context"):
        harvest(model, long, [Collector(resolve_sites(model, ("resid_post",)))])
