"""A dictionary's card: facts by hash, features drawn by a seed and not chosen, what nobody measured."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from eval.measures.dictionaries.step_options import BASELINES
from llm_codes.__main__ import main
from llm_codes.lenses.saes.card import Card, card_html, drawn_features, read_card
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.matching import content_hash
from llm_codes.lenses.saes.shipped import SHIPPED, shipped_transcoders
from tests.cards import shipped_cards

EVAL = ["sae", "eval", "--tokens", "1500", "--context", "32", "--dashboards", "0", "--threads", "1"]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of a shipped transcoder with its card, and the run folder that measured it."""
    folder = tmp_path_factory.mktemp("card")
    copy = shutil.copytree(shipped_transcoders()[1], folder / "layer-1")
    assert main([*EVAL, "--sae", str(copy), "--card", "--out", str(folder / "run")]) == 0
    return copy, folder / "run"


def test_the_card_stands_in_both_folders_and_names_contents(card: tuple[Path, Path]) -> None:
    copy, run = card
    found = json.loads((copy / "card.json").read_text("utf-8"))
    assert (run / "card.json").read_text("utf-8") == (copy / "card.json").read_text("utf-8")
    sae = load_sae(copy)
    assert found["sha256"] == content_hash(sae.sae.state_dict())
    results = json.loads((run / "results.json").read_text("utf-8"))
    assert found["evaluation"]["fvu"] == results["fvu"]
    assert found["model"]["weights_sha256"] == results["provenance"]["model"]["weights_sha256"]
    assert found["corpus"]["sha256_of_tokens"] == results["provenance"]["corpus"]["sha256_of_tokens"]
    assert [entry["feature"] for entry in found["features"]] == drawn_features(sae, 0)
    assert len(found["not_measured"]) == 5 and "--baselines" in found["not_measured"][0]
    assert "--untrained" in found["not_measured"][1]
    page = (copy / "card.html").read_text("utf-8")
    assert "10 features at random (seed 0)" in page and found["sha256"] in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)[^"']*""", page)


@pytest.mark.parametrize("layer", range(6))
def test_a_shipped_card_is_of_the_weights_beside_it(layer: int) -> None:
    folder = shipped_transcoders()[layer]
    found = read_card(folder)
    sae = load_sae(folder)
    assert found.sha256 == content_hash(sae.sae.state_dict()) and found.reads == sae.hook
    assert [entry.feature for entry in found.features] == drawn_features(sae, found.seed)
    assert found.evaluation.kl.interval is not None and found.evaluation.kl.n == 20
    page = (folder / "card.html").read_text("utf-8")
    assert page == card_html(found), "the page is made from card.json: `make cards`"


@pytest.mark.parametrize("site", ["mlp_in", "mlp_out"])
def test_the_cards_of_the_two_saes_stand_beside_random_baselines(site: str) -> None:
    folder = SHIPPED / site
    found = read_card(folder)
    sae = load_sae(folder)
    assert found.sha256 == content_hash(sae.sae.state_dict()) and found.reads == sae.hook
    kinds = {row.baseline for row in found.evaluation.baselines}
    assert kinds == {*BASELINES[1:], "untrained model", "another dictionary"}
    assert found.evaluation.kl.interval is not None and found.evaluation.kl.n == 21
    page = (folder / "card.html").read_text("utf-8")
    assert page == card_html(found), "the page is made from card.json: `make cards`"
    assert "of the variance that this dictionary explains" in page


def test_every_shipped_card_is_written_by_make_cards() -> None:
    assert shipped_cards() == [SHIPPED / "mlp_in", SHIPPED / "mlp_out", *shipped_transcoders().values()]


def test_features_are_drawn_from_all_by_their_seed() -> None:
    sae = cast(Any, SimpleNamespace(n_features=1000))
    assert drawn_features(sae, 1) == drawn_features(sae, 1) != drawn_features(sae, 2)
    assert len(drawn_features(sae, 1)) == 10 and drawn_features(cast(Any, SimpleNamespace(n_features=3)), 0) == [
        0,
        1,
        2,
    ]


def test_what_stands_on_a_card_is_escaped(card: tuple[Path, Path]) -> None:
    found = json.loads((card[0] / "card.json").read_text("utf-8"))
    found["name"] = "<script>alert(1)</script>"
    assert "<script>alert" not in card_html(Card.from_json(found))


def test_a_card_needs_a_folder_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*EVAL, "--sae", "gpt2-small-res-jb", "--card", "--out", str(tmp_path / "run")]) == 2
    words = "expected --card with a dictionary in a folder; got gpt2-small-res-jb; leave it out"
    assert words in capsys.readouterr().err
