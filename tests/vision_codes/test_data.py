"""Data sets on disk, damaged ones, image folders; every error is one line that says what to do."""

import gzip

import numpy as np
import pytest
from PIL import Image

from eval.errors import UserError
from vision_codes.data import load_images
from vision_codes.image_batches import prepare


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURAL_CODES_DATA", str(tmp_path))
    return tmp_path


def write_cifar(root, split="train", n=12, **changes):
    (root / "cifar10").mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    arrays = {"images": generator.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), "labels": np.arange(n) % 10}
    np.savez(root / "cifar10" / f"{split}.npz", **(arrays | changes))
    return arrays


def write_mnist(root, stem="t10k", n=7, images=None):
    (root / "mnist").mkdir(exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8) if images is None else images
    header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in images.shape)
    (root / "mnist" / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    labels = (np.arange(n) % 10).astype(np.uint8)
    raw = b"\0\0\x08\x01" + n.to_bytes(4, "big") + labels.tobytes()
    (root / "mnist" / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(raw))
    return images, labels


def write_folder(root, sizes=((40, 30), (24, 60)), mode="RGB"):
    for class_number, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for number, size in enumerate(sizes):
            colour = (200, 100 * class_number, 0) if mode == "RGB" else 99
            Image.new(mode, size, colour).save(root / name / f"{number}.png")
    return root


def test_cifar_comes_back_as_written_and_a_draw_is_a_subset(root):
    arrays = write_cifar(root)
    whole, some = load_images("cifar10"), load_images("cifar10", n=5, seed=3)
    np.testing.assert_array_equal(whole.images, arrays["images"])
    np.testing.assert_array_equal(whole.labels, arrays["labels"])
    assert len(some) == 5 and some.provenance["n_available"] == 12 and whole.class_names[3] == "cat"
    assert all(any((image == other).all() for other in whole.images) for image in some.images)
    np.testing.assert_array_equal(some.images, load_images("cifar10", n=5, seed=3).images)
    assert not np.array_equal(some.images, load_images("cifar10", n=5, seed=4).images)


def test_all_is_train_and_test(root):
    write_cifar(root)
    write_cifar(root, "test", 3)
    assert len(load_images("cifar10", "all")) == 15


def test_mnist_reads_idx_and_says_which_halves_are_there(root):
    images, labels = write_mnist(root)
    found = load_images("mnist", "test")
    np.testing.assert_array_equal(found.images[:, 0], images)
    np.testing.assert_array_equal(found.labels, labels)
    assert len(load_images("mnist", "all")) == 7
    with pytest.raises(UserError, match="that folder holds t10k-images.*ask for another split"):
        load_images("mnist", "train")


def test_the_real_data_sets(data_folder):
    assert load_images("cifar10", "test").images.shape == (1017, 3, 32, 32)
    digits = load_images("mnist", "test", n=1000)
    assert digits.images.shape == (1000, 1, 28, 28) and set(digits.labels) == set(range(10))


def test_folder_resizes_crops_and_labels_by_sub_folder(tmp_path):
    found = load_images(str(write_folder(tmp_path / "set")), "all", size=16)
    assert found.images.shape == (4, 3, 16, 16) and found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.images[2, :, 8, 8].tolist() == [200, 100, 0]


def test_folder_with_splits_and_grey_files(tmp_path):
    write_folder(tmp_path / "set" / "train", mode="L")
    write_folder(tmp_path / "set" / "val", sizes=((20, 20),))
    assert len(load_images(str(tmp_path / "set"), "train", size=8)) == 4
    assert len(load_images(str(tmp_path / "set"), "test", size=8)) == 2
    assert len(load_images(str(tmp_path / "set"), "all", size=8)) == 6


def test_corrupt_file_is_named_skipped_and_counted(tmp_path, capsys):
    folder = write_folder(tmp_path / "set")
    (folder / "cat" / "broken.png").write_bytes(b"\x89PNG not really")
    whole = (folder / "dog" / "0.png").read_bytes()
    (folder / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    found = load_images(str(folder), "all", size=8)
    assert len(found) == 4 and found.provenance["skipped"] == 2
    assert {text.split(":")[0] for text in found.skipped} == {"cat/broken.png", "dog/cut.png"}
    assert "skipped 2 unreadable of 6 files: cat/broken.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04 nothing"), "is damaged .*; fetch it again"),
        (lambda path: path.write_bytes(b"no archive at all"), "is damaged .*; fetch it again"),
        (lambda path: path.unlink(), "there is no such file; put it there or unset NEURAL_CODES_DATA"),
        (lambda path: np.savez(path, images=np.zeros(3)), "'labels'.* are missing"),
        (lambda path: np.savez(path, images=np.zeros((2, 32, 32, 3)), labels=[0, 1]), r"got float64 \(2, 32, 32, 3\)"),
    ],
)
def test_damaged_or_missing_cifar_is_one_line(root, damage, text):
    write_cifar(root)
    damage(root / "cifar10" / "train.npz")
    with pytest.raises(UserError, match=text) as raised:
        load_images("cifar10")
    assert "\n" not in str(raised.value) and "pickle" not in str(raised.value)


def test_truncated_idx_is_one_line(root):
    write_mnist(root)
    path = root / "mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-5]))
    with pytest.raises(UserError, match="its header and length disagree"):
        load_images("mnist", "test")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="is damaged"):
        load_images("mnist", "test")


def test_names_splits_and_counts_are_checked(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="unknown data set 'cifra10': did you mean cifar10"):
        load_images("cifra10")
    with pytest.raises(UserError, match="unknown split 'tests'"):
        load_images("cifar10", "tests")
    with pytest.raises(UserError, match="expected at least 1 image; got n=0"):
        load_images("cifar10", n=0)
    with pytest.raises(UserError, match="does not exist; check the path"):
        load_images("./no/such/folder")
    with pytest.raises(UserError, match="found no image file"):
        load_images(str(tmp_path))
    monkeypatch.setenv("NEURAL_CODES_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="which is none; correct or unset it"):
        load_images("cifar10")


def test_a_download_that_fails_is_one_line(monkeypatch, tmp_path):
    monkeypatch.delenv("NEURAL_CODES_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    from eval.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    from torchvision import datasets

    def refuse(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "CIFAR10", refuse)
    with pytest.raises(UserError, match="got no route to host; set NEURAL_CODES_DATA"):
        load_images("cifar10")


def test_synthetic_images_are_reproducible_and_differ_by_split():
    first, again = load_images("synthetic", n=9, size=16), load_images("synthetic", n=9, size=16)
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, load_images("synthetic", "test", n=9, size=16).images)


def test_prepare_scales_resizes_and_matches_channels():
    grey = np.full((2, 1, 28, 28), 255, np.uint8)
    assert prepare(grey, 32, 3).shape == (2, 3, 32, 32) and float(prepare(grey, 32, 3).min()) == 1.0
    with pytest.raises(UserError, match="expected 1-channel images; got 3 channels"):
        prepare(np.zeros((1, 3, 8, 8), np.uint8), 8, 1)
