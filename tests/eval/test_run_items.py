"""Kept pieces: damage is named and made again, older results are kept and named, nothing is a traceback."""

from __future__ import annotations

import json

import numpy as np
import pytest

from eval.files import seal_path
from eval.run_identity import Origin
from eval.run_items import KeptPieces
from eval.runs import Run

NOW = Origin("config", {"images": "a"}, "code", ("toy.capacity.study",))


@pytest.mark.parametrize("damage", ["empty", "half", "null", "flipped"])
def test_a_damaged_item_is_named_set_aside_and_computed_again(tmp_path, capsys, damage):
    run = Run(tmp_path)
    run.item("site/0", lambda: {"alpha": -1.0, "n": 100})
    path = tmp_path / "items" / "site_0.json"
    content = path.read_bytes()
    flipped = content.replace(b"100", b"900")
    path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "null": b"null", "flipped": flipped}[damage])
    assert Run(tmp_path).item("site/0", lambda: {"alpha": -1.0, "n": 100}) == {"alpha": -1.0, "n": 100}
    err = capsys.readouterr().err
    assert err == "warning: items/site_0.json is damaged: set aside as site_0.json.damaged, computed again\n"
    assert (tmp_path / "items" / "site_0.json.damaged").exists()
    assert Run(tmp_path).item("site/0", lambda: pytest.fail("was made again")) == {"alpha": -1.0, "n": 100}


@pytest.mark.parametrize("damage", ["empty", "half", "flipped"])
def test_a_damaged_array_is_named_set_aside_and_missing(tmp_path, capsys, damage):
    run = Run(tmp_path)
    path = run.write_arrays("moments", mean=np.arange(100.0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"empty": b"", "half": bytes(content[: len(content) // 2]), "flipped": bytes(content)}[damage])
    assert run.read_arrays("moments") is None
    assert "warning: arrays/moments.npz is damaged: set aside as moments.npz.damaged" in capsys.readouterr().err
    run.write_arrays("moments", mean=np.arange(100.0))
    assert run.read_arrays("moments") is not None


def test_an_item_that_is_none_is_kept(tmp_path):
    """`null` is a value where the seal says so, and damage where it does not."""
    run = Run(tmp_path)
    assert run.item("a", lambda: None) is None
    assert run.item("a", lambda: pytest.fail("was done")) is None


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (Origin("other", {"images": "a"}, "code", NOW.modules), "another configuration"),
        (Origin("config", {"images": "b"}, "code", NOW.modules), r"other images (a, now b)"),
        (Origin("config", {"images": "a", "model": "m"}, "code", NOW.modules), "other model (none, now m)"),
        (Origin("config", {"images": "a"}, "edited", NOW.modules), "other code of toy.capacity.study"),
    ],
)
def test_a_stale_item_is_named_and_kept_until_it_is_replaced(tmp_path, capsys, now, reason):
    KeptPieces(tmp_path).write_item("a", 1, NOW)
    pieces = KeptPieces(tmp_path)
    assert not pieces.is_good(pieces.item_path("a"), now)
    assert f"warning: items/a.json is stale: {reason}; computed again" in capsys.readouterr().err
    assert pieces.item_path("a").exists(), "not given up before there is a new one"
    pieces.write_item("a", 2, now)
    assert json.loads((tmp_path / "items" / "a.json.stale").read_text()) == 1
    assert KeptPieces(tmp_path).read_item("a", now) == 2


def test_reuse_stale_accepts_it_and_says_so(tmp_path, capsys):
    KeptPieces(tmp_path).write_item("a", 1, NOW)
    assert KeptPieces(tmp_path, reuse_stale=True).read_item("a", Origin()) == 1
    assert "used as it is (--reuse-stale)" in capsys.readouterr().err


def test_a_piece_without_a_seal_is_of_unknown_origin(tmp_path, capsys):
    pieces = KeptPieces(tmp_path)
    pieces.write_item("a", 1, NOW)
    seal_path(pieces.item_path("a")).unlink()
    assert not pieces.is_good(pieces.item_path("a"), NOW)
    assert "no word of its origin (an older version wrote it)" in capsys.readouterr().err


def test_a_damaged_piece_is_seen_in_another_runs_folder_too(tmp_path):
    pieces = KeptPieces(tmp_path)
    pieces.any_origin = True
    pieces.write_item("a", 1, NOW)
    assert pieces.read_item("a", Origin()) == 1
    pieces.item_path("a").write_text("2")
    assert not pieces.is_good(pieces.item_path("a"), Origin())


def test_a_process_that_does_not_write_sets_nothing_aside(tmp_path):
    KeptPieces(tmp_path).write_item("a", 1, NOW)
    pieces = KeptPieces(tmp_path, writes=False)
    pieces.item_path("a").write_text("")
    assert not pieces.is_good(pieces.item_path("a"), NOW)
    assert pieces.item_path("a").exists()
