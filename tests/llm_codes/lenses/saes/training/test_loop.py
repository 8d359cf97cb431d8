"""The training loop on a synthetic stream: bitwise continuation, SIGKILL, SIGTERM, NaN batches, logs, checks."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from eval.errors import StoppedError, UserError
from llm_codes.configs.saes import SAETrainConfig, TrainingOptions
from llm_codes.lenses.saes.training.loop import Training
from llm_codes.lenses.saes.training.specification import SAESpec, parse_width

ROOT = Path(__file__).resolve().parents[5]


class Synthetic:
    """Blocks that are a function of their number; optionally one broken row in the given blocks."""

    def __init__(self, broken=()):
        self.broken = broken

    def block(self, number):
        generator = torch.Generator().manual_seed(number)
        mixing = torch.randn(30, 12, generator=torch.Generator().manual_seed(99))
        features = (torch.rand(256, 30, generator=generator) < 0.1) * torch.rand(256, 30, generator=generator)
        x = features @ mixing
        y = x.relu()[:, :5].contiguous()
        if number in self.broken:
            x[70, 2] = float("nan")
        return {"in": x, "out": y}


def specs():
    transcoder = SAESpec("in", 12, 24, architecture="transcoder", k=3, hook_out="out", d_out=5)
    return [SAESpec("in", 12, 24, k=3), SAESpec("in", 12, 24, k=3, tied=True, seed=1), transcoder]


def train(folder, tokens=64 * 40, broken=(), **options):
    options = {"train_batch_size": 64, "checkpoint_every": 7, "log_every": 5} | options
    return Training(Synthetic(broken), specs(), Path(folder), TrainingOptions(tokens=tokens, **options))


def states(trained):
    return [sae.trainer.state() for sae in trained]


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        for name in a:
            assert torch.equal(a[name], b[name]), name


def test_interrupted_and_continued_is_bit_equal(tmp_path):
    whole = states(train(tmp_path / "whole").run())
    run = train(tmp_path / "parts")

    class StopError(Exception):
        pass

    def stop(step):
        if step == 17:
            raise StopError

    run.every_step = stop
    with pytest.raises(StopError):
        run.run()
    assert_equal(whole, states(train(tmp_path / "parts").run()))
    lines = [
        [json.loads(line)["step"] for line in (tmp_path / name / "metrics.jsonl").open()] for name in ("whole", "parts")
    ]
    assert lines[0] == lines[1]


KILLED = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from tests.llm_codes.lenses.saes.training.test_loop import train
from eval.measures.dictionaries import dictionary_kernels
folder, kills = Path(sys.argv[1]), [float(x) for x in sys.argv[2].split(",")]
def child(path):
    run = train(path)
    run.every_step = lambda step: time.sleep(0.004)
    run.run()
    os._exit(0)
for pause in kills:
    pid = os.fork()
    if pid == 0:
        child(folder)
    time.sleep(pause)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
pid = os.fork()
if pid == 0:
    child(folder)
assert os.waitpid(pid, 0)[1] == 0
"""


def test_killed_at_ten_random_moments_and_continued_is_bit_equal(tmp_path):
    whole = states(train(tmp_path / "whole").run())
    moments = random.Random(0)
    pauses = ",".join(f"{moments.uniform(0.01, 0.4):.3f}" for _ in range(10))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    script = KILLED.format(root=str(ROOT))
    subprocess.run([sys.executable, "-c", script, tmp_path / "killed", pauses], check=True, env=environment, cwd=ROOT)
    assert_equal(whole, states(train(tmp_path / "killed").run()))


def test_sigterm_saves_the_step_under_way(tmp_path):
    whole = states(train(tmp_path / "whole").run())
    run = train(tmp_path / "part", checkpoint_every=1000)
    run.every_step = lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 11 else time.sleep(0)
    with pytest.raises(SystemExit) as stop:
        run.run()
    assert stop.value.code == 143
    names = [path.name for path in (tmp_path / "part" / "checkpoints").glob("*.safetensors")]
    assert names == ["step-00000012.safetensors"]
    assert_equal(whole, states(train(tmp_path / "part").run()))


def test_a_nan_batch_is_skipped_and_counted(tmp_path):
    trained = train(tmp_path, broken=(1, 3)).run()
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["skipped_batches"] == 2 and last["step"] == 40
    assert all(bool(torch.isfinite(value).all()) for state in states(trained) for value in state.values())


def test_a_nan_batch_can_stop_the_run_with_the_last_good_weights(tmp_path):
    with pytest.raises(StoppedError, match="got NaN or infinity in block 1, batch 1; the last good weights are kept"):
        train(tmp_path, broken=(1,), on_nan="stop").run()
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.safetensors")] == ["step-00000005.safetensors"]


def test_metrics_go_to_weights_and_biases_only_where_a_project_is_named(tmp_path, monkeypatch):
    class Run:
        lines, finished = [], 0

        def log(self, record, step):
            self.lines.append((step, record))

        def finish(self):
            Run.finished += 1

    opened = []
    monkeypatch.setitem(
        sys.modules, "wandb", SimpleNamespace(init=lambda **k: opened.append(k) or Run(), Error=OSError)
    )
    train(tmp_path / "without").run()
    assert opened == []
    train(tmp_path / "with", wandb="codes").run()
    assert opened[0]["project"] == "codes" and opened[0]["config"]["saes"][0]["k"] == 3
    written = [json.loads(line) for line in (tmp_path / "with" / "metrics.jsonl").open()]
    assert [step for step, _ in Run.lines] == sorted({line["step"] for line in written}) and Run.finished == 1
    for line in written:
        logged = next(record for step, record in Run.lines if step == line["step"])
        assert logged[f"{line['sae']}/loss"] == line["loss"]


def test_a_missing_wandb_stops_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(UserError, match="expected the package wandb for --wandb; it is not installed"):
        train(tmp_path, wandb="codes").run()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_checkpoints_are_kept_to_a_number_and_never_half_written(tmp_path):
    train(tmp_path, keep=3).run()
    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.safetensors"))
    assert names == [f"step-{step:08d}.safetensors" for step in (28, 35, 40)]


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_continued(tmp_path, capsys):
    whole = states(train(tmp_path, keep=2).run())
    newest = tmp_path / "checkpoints" / "step-00000040.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    assert_equal(whole, states(train(tmp_path, keep=2).run()))
    assert "set aside as step-00000040.safetensors.damaged" in capsys.readouterr().err


def test_widths_hooks_and_sizes_are_checked_before_the_first_step(tmp_path):
    def refused(spec, **options):
        Training(
            Synthetic(), [spec], tmp_path / "x", TrainingOptions(**{"tokens": 640, "train_batch_size": 64} | options)
        ).run()

    with pytest.raises(UserError, match="expected activations 13 wide at in; got 12; take the width of the site"):
        refused(SAESpec("in", 13, 24, k=3))
    with pytest.raises(UserError, match="expected activations at elsewhere; the stream gives in, out"):
        refused(SAESpec("elsewhere", 12, 24, k=3))
    with pytest.raises(UserError, match="expected at least one batch of 512 tokens per block; got 256"):
        refused(SAESpec("in", 12, 24, k=3), train_batch_size=512)
    with pytest.raises(UserError, match="unknown SAE architecture 'topkk': did you mean"):
        SAESpec("in", 12, 24, architecture="topkk")
    with pytest.raises(UserError, match="expected hook_out and d_out exactly for a transcoder"):
        SAESpec("in", 12, 24, architecture="transcoder")
    train(tmp_path / "y").run()
    with pytest.raises(UserError, match="holds a training run with other settings"):
        train(tmp_path / "y", tokens=64 * 50).run()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tokens": 0}, "expected --tokens a whole number of at least 1; got 0; give a value in that range"),
        ({"train_batch_size": 1}, "expected --train-batch-size a whole number of at least 2; got 1; give a value"),
        ({"checkpoint_every": 0}, "expected --checkpoint-every a whole number of at least 1; got 0; give a value"),
        ({"keep": 0}, "expected --keep a whole number of at least 1; got 0; give a value in that range"),
        ({"log_every": 0}, "expected --log-every a whole number of at least 1; got 0; give a value in that range"),
        ({"on_nan": "ignore"}, "unknown --on-nan 'ignore': .*expected one of skip, stop"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(UserError, match=text):
        TrainingOptions(**options)


def test_specifications_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="expected 1 <= k < 24 features; got k=24; lower --k or widen the SAE"):
        SAESpec("in", 12, 24, architecture="batchtopk", k=24)  # all of them active is no dictionary
    with pytest.raises(UserError, match="expected a learning rate above 0; got 0.0; set --learning-rate to 3e-3"):
        SAESpec("in", 12, 24, k=3, learning_rate=0.0)
    with pytest.raises(UserError, match="expected 0 <= target_l0 < 24 features; got 32; lower --target-l0 or widen"):
        SAESpec("in", 12, 24, architecture="standard")
    for sparsity in (-1.0, 0.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"expected a finite coefficient above 0 \(--sparsity\); got .*--target-l0"):
            SAESpec("in", 12, 24, architecture="gated", target_l0=0, sparsity=sparsity)
    with pytest.raises(UserError, match="expected a dead window above 0 and at most 1; got 0; give a share of the run"):
        SAESpec("in", 12, 24, k=3, dead_window=0)
    assert SAESpec("in", 12, 24, architecture="standard", target_l0=4).k == 32  # not used there
    assert SAETrainConfig(out="x").dictionary.learning_rate == SAESpec("in", 12, 64).learning_rate == 3e-3


@pytest.mark.parametrize("on_nan", ["skip", "stop"])
@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_a_dictionary_that_diverges_is_not_called_a_broken_batch(tmp_path, architecture, on_nan):
    spec = SAESpec("in", 12, 24, k=3, architecture=architecture, target_l0=3, learning_rate=1e30)
    options = TrainingOptions(tokens=64 * 80, train_batch_size=64, on_nan=on_nan, checkpoint_every=7)
    text = rf"expected a finite loss and gradient; got NaN or infinity from in-{architecture}-24 on finite activations"
    with pytest.raises(StoppedError, match=text) as stopped:
        Training(Synthetic(), [spec], tmp_path, options).run()
    assert ("(21 in a row)" in str(stopped.value)) == (on_nan == "skip") and "--learning-rate" in str(stopped.value)
    saved = load_file(sorted((tmp_path / "checkpoints").glob("*.safetensors"))[-1])
    assert all(bool(torch.isfinite(value).all()) for value in saved.values())


def test_twenty_one_broken_batches_in_a_row_name_the_activations(tmp_path):
    class Broken(Synthetic):
        def block(self, number):
            return {name: value * (1 if number == 0 else float("nan")) for name, value in super().block(number).items()}

    run = Training(Broken(), specs(), tmp_path, TrainingOptions(tokens=64 * 40, train_batch_size=64))
    with pytest.raises(
        StoppedError, match=r"expected finite activations; got NaN or infinity in block \d, .*21 in a row"
    ):
        run.run()


def test_width_text():
    assert (parse_width("8x", 192), parse_width("0.5x", 10), parse_width("77", 10)) == (1536, 5, 77)
    with pytest.raises(UserError, match="expected a width like 8x or 12288; got 'wide'"):
        parse_width("wide", 10)
