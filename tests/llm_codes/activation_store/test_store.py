"""Stores of other programs, and what is refused: replaced shards, wrong shapes, sites that are not there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from eval.errors import UserError
from eval.files import content_hash
from llm_codes.activation_store.store import ActivationStore
from llm_codes.activation_store.writing import StoredWindow

HOOKS = ("blocks.0.mlp.hook_out", "blocks.2.mlp.hook_out")


def windows(count: int = 12, width: int = 6) -> list[StoredWindow]:
    draw = np.random.default_rng(0)
    made = []
    for number in range(count):
        length = 4 + number % 3
        arrays = {hook: draw.normal(size=(length, width)).astype(np.float32) for hook in HOOKS}
        made.append(StoredWindow(arrays, draw.integers(0, 50, length), document=f"text {number // 2}"))
    return made


def write(folder, made=None, **changes) -> ActivationStore:
    return ActivationStore.write(
        folder, windows() if made is None else made, **{"model": "other", "shard_mb": 0.001, **changes}
    )


def read(store: ActivationStore, hook: str) -> list[np.ndarray]:
    """The rows of every window that hold text."""
    out = []
    for batch in store.corpus.batches(5):
        found: dict[str, torch.Tensor] = {}
        store.stream_batch(batch, [hook], found.__setitem__)
        out += [rows[mask].numpy() for rows, mask in zip(found[hook], batch.mask, strict=True)]
    return out


def test_what_another_program_writes_is_read_back(tmp_path):
    made, store = windows(), write(tmp_path / "store")
    assert len(store.manifest.shards) > 1
    assert store.corpus.documents == tuple(f"text {number}" for number in range(6))
    assert store.corpus.document.tolist() == [number // 2 for number in range(12)]
    for hook in HOOKS:
        for window, rows in zip(made, read(store, hook), strict=True):
            assert np.array_equal(rows, window.activations[hook])
    assert [row[mask].tolist() for row, mask in zip(store.corpus.tokens, store.corpus.mask, strict=True)] == [
        window.tokens.tolist() for window in made
    ]
    assert [(site.layer, site.width) for site in store.sites] == [(0, 6), (2, 6)]
    assert store.provenance()["name"] == "other"
    assert repr(store).startswith("ActivationStore")


def test_plain_mappings_are_windows_of_their_own_documents(tmp_path):
    arrays = [window.activations for window in windows(5)]
    store = write(tmp_path / "store", arrays, dtype="bfloat16")
    assert store.corpus.n_documents == 5
    rows = read(store, HOOKS[0])
    assert np.allclose(rows[3], arrays[3][HOOKS[0]], rtol=2**-8)


def test_the_minimal_layout_written_by_hand(tmp_path):
    """Two columns and one site; a new window begins where the position does not rise or the document changes."""
    values = torch.arange(24, dtype=torch.float32).reshape(8, 3)
    columns = {"document": torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]), "position": torch.tensor([0, 1, 2, 0, 1, 2, 3, 4])}
    save_file({**columns, "layer7": values}, tmp_path / "part.safetensors")
    shard = {"file": "part.safetensors", "sha256": content_hash(tmp_path / "part.safetensors")}
    said = {"format": "neural-codes activations 1", "dtype": "float32", "shards": [shard]}
    (tmp_path / "store.json").write_text(json.dumps({**said, "sites": [{"hook": "layer7", "width": 3}]}))
    store = ActivationStore.open(tmp_path)
    assert store.corpus.mask.sum(axis=1).tolist() == [3, 2, 3]
    assert store.corpus.mask[2].tolist() == [False, False, True, True, True]
    assert np.array_equal(np.concatenate(read(store, "layer7")), values.numpy())
    assert store.resolve_sites("layer7")[0].width == 3


def test_a_replaced_shard_is_refused_by_name(tmp_path):
    store, other = write(tmp_path / "a"), write(tmp_path / "b", windows(12)[::-1])
    first = store.manifest.shards[0].file
    (tmp_path / "a" / first).write_bytes((tmp_path / "b" / first).read_bytes())
    with pytest.raises(UserError, match=rf"expected .*{first} as the manifest knows it .* it was replaced or damaged"):
        ActivationStore.open(tmp_path / "a")
    (tmp_path / "b" / first).unlink()
    with pytest.raises(UserError, match=f"expected {first} in .*b; it is missing; restore it, or harvest again"):
        ActivationStore.open(tmp_path / "b")
    assert store.sha256 != other.sha256


def test_a_manifest_that_was_edited_is_refused(tmp_path):
    write(tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    found = json.loads(path.read_text())
    for edited, words in (
        ({**found, "format": "x"}, "to say format"),
        ({**found, "shards": found["shards"][::-1]}, "its sites and shards are not those its sha256 was written for"),
        ({**found, "sites": [{"hook": "a"}]}, "it is damaged .KeyError: 'width'"),
        ({**found, "sha256": None, "sites": [{"hook": HOOKS[0], "width": 7}]}, "as .*7.*F32.*; got .*6"),
        ({**found, "documents": ["one"]}, "expected documents 0..0 in a store; got 0 to 5; name them all"),
        ({**found, "context": 2}, r"expected positions of a store within its context, 0..1; got 0 to 5"),
    ):
        path.write_text(json.dumps(edited))
        with pytest.raises(UserError, match=words):
            ActivationStore.open(tmp_path / "store")
    path.write_text("{")
    with pytest.raises(UserError, match="to be the manifest of a store; it is damaged"):
        ActivationStore.open(tmp_path / "store")
    with pytest.raises(UserError, match="expected a store of activations in .*; got no store.json"):
        ActivationStore.open(tmp_path)


def test_what_cannot_be_stored_is_refused_in_one_line(tmp_path):
    good = windows(1)[0].activations
    nan = {hook: np.full((4, 6), np.nan) for hook in HOOKS}
    for made, words in (
        ([], "expected at least one window of activations to write; got none"),
        ([{}], "expected activations at one site at least; got none"),
        ([{"token": np.ones((4, 6))}], "expected hook names that are no column of a store; got 'token'"),
        ([{"a": np.ones(4)}], r"expected activations \[position width\] at a; got shape \(4,\)"),
        ([good, {HOOKS[0]: np.ones((4, 6))}], "expected the sites of window 0 .*; got .* in window 1"),
        ([good, {hook: np.ones((4, 5)) for hook in HOOKS}], r"expected activations \[4, 6\] at .* in window 1; got"),
        ([nan], "expected finite activations; got NaN or infinity at .* in window 0"),
        ([StoredWindow(good, tokens=[1, 2])], r"expected 4 token ids for window 0; got shape \(2,\)"),
    ):
        with pytest.raises(UserError, match=words):
            write(tmp_path / words[:9] / str(len(words)), made)
    with pytest.raises(UserError, match="unknown dtype of a store 'int8'"):
        write(tmp_path / "x", dtype="int8")
    write(tmp_path / "store")
    with pytest.raises(UserError, match="expected an empty folder for a store; .* choose another"):
        write(tmp_path / "store")


def test_sites_are_those_that_are_stored(tmp_path):
    store = write(tmp_path / "store")
    assert [site.hook for site in store.resolve_sites(HOOKS)] == list(HOOKS)
    for names, layers, words in (
        ("mlp_out", ":", r"expected a site stored in .* \(blocks.0.*\); got 'mlp_out'; harvest it"),
        ("blocks.1.mlp.hook_out", ":", "got 'blocks.1.mlp.hook_out'"),
    ):
        with pytest.raises(UserError, match=words):
            store.resolve_sites(names, layers)
    with pytest.raises(UserError, match="expected a hook stored in .*; got 'x'.*; harvest it too"):
        store.check_hooks(["x"])
