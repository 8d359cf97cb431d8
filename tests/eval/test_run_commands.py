"""`runs list|show|clean`: what is there, how it stands, what can go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.__main__ import main
from eval.options import RunConfig
from eval.runs import Run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run with every kind of piece, a failed one, and a killed one that left nothing."""
    folder = tmp_path / "runs"
    with Run.open(RunConfig(out=str(folder / "a")), command=["demo", "spectra"], modules=("eval.scores",)) as run:
        run.inputs(images="a" * 64)
        run.item("good", lambda: 1, of=("eval.scores",))
        run.item("damaged", lambda: 2, of=("eval.scores",))
        run.item("older", lambda: 3, of=("eval.scores",))
        run.write_arrays("moments", mean=np.arange(3))
    (folder / "a" / "items" / "damaged.json").write_text("9")
    seal = folder / "a" / "items" / "older.json.seal"
    seal.write_text(seal.read_text().replace('"code": "', '"code": "x'))
    (folder / "a" / "items" / "aside.json.damaged").write_text("")
    (folder / "a" / ".results.json.123.tmp.json").write_text("")
    with pytest.raises(ZeroDivisionError), Run.open(RunConfig(out=str(folder / "b")), command=["demo", "sae"]) as run:
        run.item("x", lambda: 1)
        raise ZeroDivisionError("division by zero")
    (folder / "c").mkdir()
    marker = json.loads((folder / "a" / "run.json").read_text())
    (folder / "c" / "run.json").write_text(json.dumps(marker | {"status": "running", "pid": 2**22 + 1}))
    return folder


def test_list_says_how_every_run_stands(runs, capsys):
    assert main(["runs", "list", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {Path(line.split()[0]).name: line for line in lines[2:]}
    assert " spectra " in rows["a"] and " finished " in rows["a"]
    assert " failed " in rows["b"] and "ZeroDivisionError: division by zero" in rows["b"]
    assert " killed " in rows["c"]


def test_show_names_damaged_and_stale_pieces(runs, capsys):
    assert main(["runs", "show", str(runs / "a")]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith(("items/", "arrays/"))}
    assert rows["items/good.json"].rstrip().endswith("good")
    assert rows["items/damaged.json"].rstrip().endswith("damaged")
    assert "stale: other code of eval.scores" in rows["items/older.json"]
    assert rows["arrays/moments.npz"].rstrip().endswith("good")
    assert f"input images: {'a' * 64}" in out
    assert "(same as now)" in out
    shutil.rmtree(runs / "b")
    assert main(["runs", "show", str(runs / "b")]) == 2
    assert "no run.json that can be read" in capsys.readouterr().err


def test_clean_lists_and_removes_only_what_was_set_aside(runs, capsys):
    before = sorted(path for path in runs.rglob("*"))
    assert main(["runs", "clean", str(runs)]) == 0
    out = capsys.readouterr().out
    assert "3 would go; add --yes" in out
    assert sorted(path for path in runs.rglob("*")) == before
    assert main(["runs", "clean", str(runs), "--yes"]) == 0
    gone = {str(path.relative_to(runs)) for path in before} - {str(path.relative_to(runs)) for path in runs.rglob("*")}
    assert gone == {"a/items/aside.json.damaged", "a/.results.json.123.tmp.json", "c", "c/run.json"}
    assert main(["runs", "clean", str(runs)]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_a_living_run_is_left_alone(tmp_path, capsys):
    with Run.open(RunConfig(out=str(tmp_path / "a")), command=["demo", "x"]) as run:
        run.item("x", lambda: 1)
        (tmp_path / "a" / "items" / "y.json.damaged").write_text("")
        assert main(["runs", "clean", str(tmp_path), "--yes"]) == 0
    assert (tmp_path / "a" / "items" / "y.json.damaged").exists()


def test_no_such_folder_is_one_line(tmp_path, capsys):
    assert main(["runs", "list", str(tmp_path / "none")]) == 2
    assert "expected a folder with runs; got" in capsys.readouterr().err
