"""Run folders: resume by item, refusal of another configuration, atomic writes, what a kill leaves behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from eval.errors import UserError
from eval.options import RunConfig, option
from eval.runs import Run, atomic_path, json_text


@dataclass(frozen=True, kw_only=True)
class DemoConfig(RunConfig):
    """A demonstration."""

    tokens: int = option(10, "how many")
    batch_size: int = option(8, "does not change the result", identity=False)


def open_run(folder: Path, **changes) -> Run:
    return Run.open(replace(DemoConfig(out=str(folder)), **changes), command=["python -m demo", "spectra"])


def test_an_item_is_computed_once(tmp_path):
    calls = []
    for _ in range(2):
        with open_run(tmp_path / "run") as run:
            value = run.item("site/blocks.0", lambda: calls.append(1) or {"alpha": -1.0})
    assert value == {"alpha": -1.0}
    assert len(calls) == 1


def test_overwrite_starts_again(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.item("a", lambda: 1)
    with open_run(tmp_path / "run", overwrite=True) as run:
        assert run.item("a", lambda: 2) == 2


def test_another_configuration_is_refused_and_the_difference_named(tmp_path):
    open_run(tmp_path / "run").__exit__(None, None, None)
    with pytest.raises(UserError, match=r"holds a run with tokens=10 \(now 20\); choose another --out, or --overwrite"):
        open_run(tmp_path / "run", tokens=20)


def test_fields_that_do_not_decide_results_may_change(tmp_path):
    open_run(tmp_path / "run").__exit__(None, None, None)
    open_run(tmp_path / "run", batch_size=2, threads=1).__exit__(None, None, None)


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"is not a run folder \(it holds thesis.tex\)"):
        open_run(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(UserError, match="cannot write to .*choose another --out"):
        open_run(tmp_path / "run")


def test_two_processes_cannot_share_a_folder(tmp_path):
    with open_run(tmp_path / "run"), pytest.raises(UserError, match="another process is writing"):
        open_run(tmp_path / "run")


def test_results_carry_provenance(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.finish({"sites": []}, model={"name": "m"})
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    provenance = results["provenance"]
    assert provenance["seed"] == 0
    assert provenance["model"] == {"name": "m"}
    assert provenance["versions"]["numpy"] == np.__version__
    assert provenance["config"]["tokens"] == 10
    assert "batch_size" not in provenance["config"]
    assert len(provenance["config_hash"]) == 16


def test_nan_is_never_written():
    with pytest.raises(ValueError, match="use null and a reason"):
        json_text({"alpha": float("nan")})


def test_json_of_numpy_and_paths():
    text = json_text({"a": np.float32(0.5), "b": np.arange(3), "c": Path("x"), "d": (1, None)})
    assert json.loads(text) == {"a": 0.5, "b": [0, 1, 2], "c": "x", "d": [1, None]}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "results.json"
    target.write_text("old")
    with pytest.raises(OSError, match="No space left"), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_arrays_round_trip_without_pickle(tmp_path):
    run = Run(tmp_path)
    run.write_arrays("moments", mean=np.arange(3.0))
    stored = run.read_arrays("moments")
    assert stored is not None
    assert stored["mean"].tolist() == [0.0, 1.0, 2.0]
    assert run.read_arrays("other") is None
    np.savez(tmp_path / "arrays" / "bad.npz", thing=np.array([{"a": 1}], dtype=object))
    assert run.read_arrays("bad") is None, "a file without a seal is not ours"
    run.pieces.reuse_stale = True
    with pytest.raises(ValueError, match="allow_pickle"):
        run.read_arrays("bad")


KILLED = """
import sys, time
from dataclasses import dataclass
from eval.options import RunConfig
from eval.runs import Run
with Run.open(RunConfig(out=sys.argv[1]), command=["demo", "slow"]) as run:
    for number in range(100):
        run.item(f"item-{number}", lambda: number)
        print(number, flush=True)
        time.sleep(0.02)
"""


def test_kill_minus_nine_loses_no_finished_item(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    last = -1
    while last < 5:
        last = int(process.stdout.readline())
    time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = sorted((tmp_path / "run" / "items").glob("item-*.json"))
    assert len(done) >= last + 1
    assert all(json.loads(path.read_text()) >= 0 for path in done)
    with Run.open(RunConfig(out=str(tmp_path / "run")), command=["demo", "slow"]) as run:
        assert run.item("item-3", lambda: pytest.fail("was done before the kill")) == 3


def test_a_worker_sees_the_items_of_its_run(tmp_path):
    """`Run(folder)` in another process reads configuration, inputs and code from `run.json`."""
    with open_run(tmp_path / "run") as run:
        run.inputs(images="a" * 64)
        run.item("a", lambda: 1)
        run.write_arrays("a", x=np.arange(3))
        worker = Run(tmp_path / "run")
        assert worker.item("a", lambda: pytest.fail("was done")) == 1
        assert worker.read_arrays("a") is not None


def test_other_images_under_the_same_name_make_items_stale(tmp_path, capsys):
    for content, value in (("a" * 64, 1), ("b" * 64, 2)):
        with open_run(tmp_path / "run") as run:
            run.inputs(images=content)
            assert run.item("network", lambda value=value: value) == value
    assert (
        "warning: items/network.json is stale: other images (aaaaaaaaaaaa, now bbbbbbbbbbbb); computed again "
        "(--reuse-stale accepts it)"
    ) in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "items" / "network.json.stale").read_text()) == 1, "the older one is kept"


def test_a_training_run_is_not_continued_on_other_images(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.require_inputs(images="a" * 64)
        run.write_text("metrics.jsonl", "{}\n")
    with (
        pytest.raises(
            UserError,
            match=r"expected the images that .* was started on \(content aaaaaaaaaaaa\); got other content "
            r"\(bbbbbbbbbbbb\); restore it, choose another --out, or --overwrite to start again",
        ),
        open_run(tmp_path / "run") as run,
    ):
        run.require_inputs(images="b" * 64)


def test_has_item_asks_for_the_code_too(tmp_path):
    run = Run(tmp_path)
    run.item("a", lambda: 1, of=("eval.scores",))
    assert run.has_item("a", of=("eval.scores",))
    assert not run.has_item("a", of=("eval.claims",))
    assert not run.has_item("b", of=("eval.scores",))


def test_arrays_may_name_their_code_as_items_do(tmp_path):
    run = Run(tmp_path)
    run.write_arrays("a", of=("eval.scores",), x=np.arange(3))
    assert run.read_arrays("a", of=("eval.scores",)) is not None
    assert run.read_arrays("a", of=("eval.claims",)) is None
