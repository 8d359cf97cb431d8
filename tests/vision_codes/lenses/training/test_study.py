"""Training: it learns, resumes bitwise, is shared by two processes, stops at NaN, and refuses what it cannot use."""

import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from eval.errors import LostFolderError, StoppedError, UserError
from eval.processes import process_group
from eval.runs import Run
from vision_codes import checkpoints
from vision_codes.__main__ import main
from vision_codes.configs.train import PRESETS, Recipe, RecipeOptions
from vision_codes.data import load_images
from vision_codes.image_batches import Images, epoch_order, share_of_batches
from vision_codes.lenses.training.reconstructions import quality
from vision_codes.lenses.training.study import architecture_of, train
from vision_codes.lenses.training.trainer import Trainer
from vision_codes.resnet_vae import build
from vision_codes.vae_architecture import Architecture
from vision_codes.vae_loss import Output

ARCHITECTURE = Architecture(image_size=32, base_width=4, fully_connected=16, latent=4, dropout=0.2, pooling="flatten")
RECIPE = Recipe(epochs=2, batch_size=10, learning_rate=2e-3, kl_weight=0.02, checkpoint_steps=2)
RECALIBRATED = replace(RECIPE, recalibrate=20)


@pytest.fixture(scope="module")
def images():
    return load_images("synthetic", n=50), load_images("synthetic", "test", n=20)


def trained(folder: Path, images, recipe=RECIPE, architecture=ARCHITECTURE):
    model = build(architecture, recipe.seed)
    training, validation = images
    return model, train(model, training, validation, recipe, Run(folder))


EPOCHS = 24


def test_both_losses_fall_and_everything_is_written(tmp_path, images):
    """Held-out loss as well, with the start of the small preset (torchvision's needs more steps than a test has)."""
    recipe = replace(RECIPE, epochs=EPOCHS, batch_size=5)
    architecture = replace(ARCHITECTURE, dropout=0.0, open_relus=1.0)
    model, history = trained(tmp_path, images, recipe, architecture)
    assert history[-1].training_loss < 0.85 * history[0].training_loss
    assert history[-1].validation_loss < 0.93 * history[0].validation_loss
    assert not model.training
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [record.to_json() for record in history] and [line["epoch"] for line in lines] == list(
        range(1, EPOCHS + 1)
    )
    for record in history:
        parts = record.training_reconstruction + recipe.kl_weight * record.training_kl
        assert record.training_loss == pytest.approx(parts, rel=1e-5)
    assert len(list((tmp_path / "figures").glob("epoch_*.png"))) == EPOCHS
    loaded = checkpoints.load_model(tmp_path)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )


class Killed(Exception):
    """Stands in for kill -9: nothing of ours catches it."""


@pytest.mark.parametrize(
    ("last_step", "recipe"), [(1, RECIPE), (3, RECIPE), (5, RECIPE), (8, RECIPE), (8, RECALIBRATED)]
)
def test_resume_is_bitwise_wherever_it_was_killed(tmp_path, images, monkeypatch, last_step, recipe):
    whole, history = trained(tmp_path / "whole", images, recipe)
    step, taken = Trainer.step, []

    def dying(self, batch):
        if len(taken) == last_step:
            raise Killed
        taken.append(1)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", dying)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", images, recipe)
    monkeypatch.setattr(Trainer, "step", step)
    torch.manual_seed(999)
    model, resumed = trained(tmp_path / "killed", images, recipe)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    for a, b in zip(history, resumed, strict=True):
        a, b = a.to_json(), b.to_json()
        assert {k: v for k, v in a.items() if "second" not in k} == {k: v for k, v in b.items() if "second" not in k}


def test_a_finished_run_is_left_as_it_is(tmp_path, images, monkeypatch):
    _, history = trained(tmp_path, images)
    monkeypatch.setattr(Trainer, "step", lambda self, batch: pytest.fail("trained again"))
    assert trained(tmp_path, images)[1] == history


def test_nan_stops_and_names_the_last_good_checkpoint(tmp_path, images, monkeypatch):
    step, taken = Trainer.step, []

    def poisoned(self, batch):
        taken.append(1)
        return step(self, batch * float("nan") if len(taken) == 7 else batch)

    monkeypatch.setattr(Trainer, "step", poisoned)
    with pytest.raises(StoppedError, match=r"epoch 2, step 2 \(last good checkpoint: .*checkpoint.pt, epoch 1\)"):
        trained(tmp_path, images)
    assert all(torch.isfinite(value).all() for value in checkpoints.load_model(tmp_path).state_dict().values())


@pytest.mark.parametrize(("poisoned_step", "kept"), [(2, None), (4, 2), (5, 4)])
def test_a_gradient_that_is_not_finite_never_reaches_a_checkpoint(tmp_path, images, monkeypatch, poisoned_step, kept):
    """NaN gradient, finite loss, just before a checkpoint or the end of an epoch: no later loss is there to show it."""
    step, taken = torch.optim.Adam.step, []

    def poisoned(self, closure=None):
        taken.append(1)
        if len(taken) == poisoned_step:
            self.param_groups[0]["params"][0].grad.fill_(float("nan"))
        return step(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", poisoned)
    with pytest.raises(StoppedError, match=r"expected a finite (weight|validation loss); got NaN or infinity"):
        trained(tmp_path, images)
    content = checkpoints.read(tmp_path)
    assert (content and content["position"]["step"]) == kept
    assert content is None or all(torch.isfinite(value).all() for value in content["model"].values())


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda content: b"", lambda content: b"null"])
@pytest.mark.parametrize("sealed", [True, False])
def test_a_damaged_checkpoint_is_set_aside_and_trained_again(tmp_path, images, capsys, damage, sealed):
    whole, history = trained(tmp_path, images)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    if not sealed and damage is flipped:
        pytest.skip("a flipped byte of a file without a seal cannot be seen")
    if not sealed:
        path.with_name("checkpoint.pt.seal").unlink()
    again, second = trained(tmp_path, images)
    said = capsys.readouterr().err
    assert "checkpoint.pt is damaged" in said and "kept as checkpoint.pt.damaged, trained again" in said
    assert path.with_name("checkpoint.pt.damaged").exists()
    assert [row.validation_loss for row in second] == [row.validation_loss for row in history]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_a_folder_that_went_away_is_named_and_not_made_again(tmp_path, images, monkeypatch):
    folder, epoch = tmp_path / "run", Trainer.epoch

    def removed(self):
        epoch(self)
        shutil.rmtree(folder)

    monkeypatch.setattr(Trainer, "epoch", removed)
    with pytest.raises(LostFolderError, match="was removed or renamed during the run; stopped"):
        trained(folder, images, replace(RECIPE, checkpoint_steps=100))
    assert not folder.exists()


def test_checkpoint_of_another_architecture_or_damaged_is_one_line(tmp_path, images):
    trained(tmp_path, images, replace(RECIPE, epochs=1))
    with pytest.raises(UserError, match=r"holds another architecture: latent=4 \(expected 5\); choose another folder"):
        trained(tmp_path, images, RECIPE, replace(ARCHITECTURE, latent=5))
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="its bytes differ from its seal") as raised:
        checkpoints.load_model(tmp_path)
    assert "\n" not in str(raised.value)
    (tmp_path / "checkpoint.pt.seal").unlink()  # an older one, or one that was copied alone
    with pytest.raises(UserError, match="is damaged or another file") as raised:
        checkpoints.load_model(tmp_path)
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="holds no checkpoint.pt"):
        checkpoints.load_model(tmp_path / "nowhere")


def test_every_epoch_shows_each_image_once_in_an_order_of_its_own():
    orders = [epoch_order(23, 0, epoch) for epoch in range(2)]
    assert sorted(orders[0]) == list(range(23)) and orders[0].tolist() != orders[1].tolist()
    batches = share_of_batches(orders[0], 5)
    assert sorted(sum(batches, [])) == list(range(23)) and [len(b) for b in batches] == [5, 5, 5, 5, 3]
    assert len(share_of_batches(epoch_order(21, 0, 0), 5)) == 4  # a last batch of one cannot be normalised
    with pytest.raises(UserError, match="expected at least 2 images per step"):
        share_of_batches(epoch_order(1, 0, 0), 5)


def test_two_processes_share_every_batch(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    order, shares = epoch_order(23, 0, 0), []
    for number in ("0", "1"):
        monkeypatch.setenv("RANK", number)
        shares.append(share_of_batches(order, 5))
    assert len(shares[0]) == len(shares[1]) == 4 + 0  # the last 3 images cannot be split into two pairs
    assert sorted(sum(shares[0] + shares[1], [])) == sorted(order[:20].tolist())


DISTRIBUTED = """
import sys, torch
from eval.runs import Run
from vision_codes.data import load_images
from vision_codes.resnet_vae import build
from vision_codes.vae_architecture import Architecture
from vision_codes.vae_loss import Output
from vision_codes.configs.train import Recipe
from vision_codes.lenses.training.study import train
torch.set_num_threads(1)
architecture = Architecture(32, base_width=4, fully_connected=16, latent=4, dropout=0.2, pooling="flatten")
recipe = Recipe(epochs=int(sys.argv[2]), batch_size=10, learning_rate=2e-3, kl_weight=0.02)
from eval.processes import process_group, rank
with process_group("cpu"):
    model = build(architecture, 0)
    train(model, load_images("synthetic", n=50), load_images("synthetic", "test", n=20), recipe, Run(sys.argv[1]),
          keep_optimizer=True)
    total = sum(p.double().sum() for p in model.parameters())
    both = [torch.zeros_like(total) for _ in range(2)]
    torch.distributed.all_gather(both, total)
    assert torch.equal(both[0], both[1]), "the processes ended with different weights"
"""


def torchrun(folder: Path, epochs: int) -> None:
    script = folder.parent / "distributed.py"
    script.write_text(DISTRIBUTED)
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(folder), str(epochs)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def one_of_two(number: int, folder: Path, sums) -> None:
    """A process of a pair: one epoch together, then the sum of its weights."""
    os.environ |= {"RANK": str(number), "WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    with process_group("cpu"):
        data = load_images("synthetic", n=24), load_images("synthetic", "test", n=8)
        model, _ = trained(folder, data, replace(RECIPE, epochs=1))
        sums.put((number, float(sum(p.detach().double().sum() for p in model.parameters()))))


def test_two_processes_end_with_the_same_weights(tmp_path, monkeypatch):
    """The quick check; launching, resuming and refusing with torchrun is the slow one below."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    context = multiprocessing.get_context("fork")
    sums = context.Queue()
    pair = [context.Process(target=one_of_two, args=(number, tmp_path, sums), daemon=True) for number in range(2)]
    for process in pair:
        process.start()
    found = dict(sums.get(timeout=200) for _ in pair)
    for process in pair:
        process.join(60)
    assert [process.exitcode for process in pair] == [0, 0] and found[0] == found[1]
    record = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert record["epoch"] == 1 and (tmp_path / "checkpoint.pt").exists()


@pytest.mark.slow
def test_torchrun_with_two_processes_trains_one_model_and_resumes_bitwise(tmp_path):
    torchrun(tmp_path / "whole", 12)  # two epochs are ten steps, too few for a loss to fall whatever the processor
    torchrun(tmp_path / "resumed", 1)
    torchrun(tmp_path / "resumed", 12)
    whole, resumed = (checkpoints.load_model(tmp_path / name) for name in ("whole", "resumed"))
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    history = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["training_loss"] < history[0]["training_loss"]
    with pytest.raises(UserError, match="expected 2 processes as before; got 1"):
        trained(tmp_path / "whole", (load_images("synthetic", n=50), load_images("synthetic", "test", n=20)))


def test_presets_are_the_papers_the_authors_and_a_small_one():
    paper = RecipeOptions().filled()
    assert (paper.image_size, paper.base_width, paper.fully_connected, paper.latent) == (224, 64, 1024, 256)
    assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.loss, paper.kl_weight) == (
        20,
        50,
        1e-3,
        "mse",
        1,
    )
    authors = RecipeOptions(preset="authors-code").filled()
    assert (authors.epochs, authors.loss) == (200, "bce")
    assert (paper.output_norm, paper.recalibrate) == ("batch", 0)
    small = RecipeOptions(preset="small", latent=7, kl_weight=0.0).filled()
    assert small.image_size == 64 and small.latent == 7 and small.kl_weight == 0.0
    assert (small.output_norm, small.recalibrate) == ("none", 1000)
    assert (small.stem, small.open_relus, small.decoder_width) == ("no-pool", 0.5, 128)
    assert (paper.stem, paper.open_relus, paper.decoder_width) == ("pool", 0.0, 64)
    assert RecipeOptions(preset="small", open_relus=0.0).filled().open_relus == 0
    assert RecipeOptions(preset="small", recalibrate=0).filled().recalibrate == 0
    assert architecture_of(small, 1, 0.4).channels == 1 and set(PRESETS) == {"paper", "authors-code", "small"}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epochs": 0}, "--epochs a whole number of at least 1; got 0"),
        ({"batch_size": 1}, "--batch-size a whole number of at least 2; got 1"),
        ({"learning_rate": -1}, "--learning-rate a number above 0; got -1"),
        ({"recalibrate": 1}, "--recalibrate of at least 2 images, or 0; got 1"),
    ],
)
def test_bad_recipes_are_refused(changes, text):
    with pytest.raises(UserError, match=text):
        Recipe(**changes)


COMMAND = [
    "train",
    "--preset",
    "small",
    "--data",
    "synthetic",
    "--image-size",
    "32",
    "--base-width",
    "4",
    "--threads",
    "1",
]
COMMAND += ["--fully-connected", "16", "--latent", "4", "--epochs", "1", "--n-images", "30", "--n-validation", "10"]


def test_command_trains_and_writes_its_results(tmp_path, capsys):
    assert main([*COMMAND, "--dropout", "0.2", "--out", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["architecture"]["dropout"] == 0.2 and results["initial_weights"] == "random, seed 0"
    assert (
        results["throughput"]["flops_per_image"] > 1e5
        and 0 < results["throughput"]["share_of_matrix_multiply_rate"] < 1
    )
    assert "validation_loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--dropout", "1"], "expected --dropout a number of at least 0 and below 1; got 1"),
        (["--device", "cuda"], "expected --device cuda to be there; this machine has no cuda device"),
        (["--device", "tpu9"], "expected --device cpu, cuda, cuda:N or mps; got 'tpu9'"),
        (["--data", "cifar"], "unknown data set 'cifar': did you mean cifar10?"),
        (["--wandb", "project"], "expected the package wandb"),
        (["--loss", "l1"], "unknown --loss 'l1'"),
        (["--dropout", "nan"], "expected --dropout a number of at least 0 and below 1; got nan"),
        (["--workers", "-1"], "expected --workers a whole number of at least 0; got -1"),
        (["--latent", "1e12"], "expected at most 8 GB of weights and optimiser"),
        (["--device", "cuda:7"], "expected --device cuda:7 to be there"),
    ],
)
def test_bad_input_on_the_command_line_is_one_line(tmp_path, capsys, monkeypatch, arguments, text):
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    if any(word.startswith("cuda") for word in arguments) and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert main([*COMMAND, *arguments, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in error if line.startswith("error:")]) == 1 and text in error[-1]


def test_wandb_without_a_login_is_one_line(tmp_path, capsys, monkeypatch):
    class Refused(Exception):
        pass

    def init(**settings):
        raise Refused("No API key configured.\nUse `wandb login`")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Error=Refused))
    assert main([*COMMAND, "--wandb", "project", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: expected to log to Weights & Biases") and "wandb login" in error


def test_quality_of_reconstructions_has_known_ends(images):
    """A network that returns its input identifies every image; one that returns the mean image none but by chance."""
    held_out = Images(images[1].images, 32, 3)
    originals = held_out[list(range(len(held_out)))].float() / 255

    class Returns(torch.nn.Module):
        def __init__(self, draw):
            super().__init__()
            self.draw, self.unused = draw, torch.nn.Parameter(torch.zeros(1))

        def forward(self, batch):
            return Output(self.draw(batch), batch, batch)

    perfect = quality(Returns(lambda batch: batch), held_out)
    assert perfect.unexplained == 0 and perfect.identified.value == 1 and perfect.identified.high == 1
    blind = quality(Returns(lambda batch: originals.mean(0).expand_as(batch)), held_out)
    assert blind.unexplained == pytest.approx(1, abs=1e-5)
    assert blind.identified.value == pytest.approx(blind.identified_by_chance) == pytest.approx(1 / len(held_out))


def test_training_continued_on_replaced_images_is_refused_naming_them(tmp_path, capsys, monkeypatch):
    step, taken = Trainer.step, []

    def dying(self, batch):
        taken.append(1)
        if len(taken) > 1:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", dying)
    arguments = [*COMMAND, "--checkpoint-steps", "1", "--batch-size", "10", "--out", str(tmp_path / "run")]
    assert main(arguments) == 130
    monkeypatch.setattr(Trainer, "step", step)
    real = load_images
    monkeypatch.setattr("vision_codes.inputs.load_images", lambda *a, **o: inverted(real(*a, **o)))
    capsys.readouterr()
    assert main(arguments) == 2
    assert "expected the training_images that" in capsys.readouterr().err
    monkeypatch.setattr("vision_codes.inputs.load_images", real)
    assert main(arguments) == 0
    content = checkpoints.read(tmp_path / "run")
    assert content["parts"] == {} and content["random_states"] == []  # final weights only


def inverted(found):
    return replace(found, images=255 - found.images)


def test_predicted_weights_are_those_of_the_network():
    for options in (
        RecipeOptions(),
        RecipeOptions(preset="small"),
        RecipeOptions(preset="small", latent=500, base_width=16),
    ):
        built = build(architecture_of(options, 3, 0.0), 0)
        count = sum(parameter.numel() for parameter in built.parameters())
        assert options.predicted_weights() == pytest.approx(count, rel=0.1)
