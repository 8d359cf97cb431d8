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


def test_a_folder_without_splits_is_divided_by_seed(tmp_path):
    write_folder(tmp_path / "set", sizes=((20, 20),) * 10)
    parts = [load_images(str(tmp_path / "set"), split, size=8) for split in ("train", "test")]
    assert [len(part) for part in parts] == [16, 4] and len(load_images(str(tmp_path / "set"), "all", size=8)) == 20
    assert parts[0].provenance["source"] == "folder set, 80% of it by seed"
    assert parts[0].class_names == parts[1].class_names


def test_hidden_and_empty_folders_are_ignored_and_said(tmp_path, capsys):
    folder = write_folder(tmp_path / "set")
    (folder / ".ipynb_checkpoints").mkdir()
    Image.new("RGB", (9, 9)).save(folder / ".ipynb_checkpoints" / "1.png")
    (folder / "empty").mkdir()
    (folder / "cat" / "._0.png").write_bytes(b"resource fork")
    found = load_images(str(folder), "all", size=8)
    assert found.class_names == ("cat", "dog") and len(found) == 4 and found.provenance["ignored_folders"] == 2
    assert "set: ignored 2 folders: .ipynb_checkpoints (hidden); empty (no image)" in capsys.readouterr().err


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Valid"), ("training", "testing")])
def test_split_folders_are_splits_and_never_classes(tmp_path, names):
    for name in names:
        write_folder(tmp_path / "set" / name, sizes=((20, 20),) * (1 + len(name)))
    train, test = (load_images(str(tmp_path / "set"), split, size=8) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("cat", "dog")
    assert len(train) == 2 * (1 + len(names[0])) and len(test) == 2 * (1 + len(names[1]))


def test_classes_are_the_same_in_every_split(tmp_path):
    write_folder(tmp_path / "set" / "train")
    write_folder(tmp_path / "set" / "val")
    for path in (tmp_path / "set" / "val" / "cat").iterdir():
        path.unlink()
    found = load_images(str(tmp_path / "set"), "test", size=8)
    assert found.class_names == ("cat", "dog") and set(found.labels) == {1}


def test_a_folder_one_level_too_high_is_named(tmp_path):
    write_folder(tmp_path / "sets" / "one")
    write_folder(tmp_path / "sets" / "two")
    with pytest.raises(UserError, match="one/ holds no image but the folders cat, dog: the classes lie one level deep"):
        load_images(str(tmp_path / "sets"), "all")


def test_a_class_called_train_is_a_class(tmp_path):
    for name in ("car", "train"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / name / "1.png")
    assert load_images(str(tmp_path), "all", size=8).class_names == ("car", "train")


def test_files_are_read_at_their_own_size_where_asked(tmp_path):
    folder = write_folder(tmp_path / "set", sizes=((28, 28),) * 3, mode="L")
    assert load_images(str(folder), "all", own_size=True).images.shape == (6, 1, 28, 28)
    Image.new("L", (30, 28), 0).save(folder / "dog" / "x.png")
    with pytest.raises(UserError, match=r"expected images of one size in .*; got 1 x 28 x 28 and 1 x 28 x 30 \(dog/x"):
        load_images(str(folder), "all", own_size=True)


def test_a_bomb_is_skipped_and_counted_by_its_reason(tmp_path, capsys):
    folder = write_folder(tmp_path / "set")
    Image.new("1", (14_000, 14_000)).save(folder / "cat" / "bomb.png")
    Image.new("1", (12_000, 9_000)).save(folder / "cat" / "large.png")
    (folder / "dog" / "broken.png").write_bytes(b"nothing")
    found = load_images(str(folder), "all", size=8)
    assert len(found) == 4 and found.provenance["skipped_by_reason"] == {"damaged": 1, "too large": 2}
    text = capsys.readouterr().err
    assert "cat/bomb.png: far more megapixels, more than the limit of 100" in text
    assert "cat/large.png: 108 megapixels, more than the limit of 100" in text and "(1 damaged, 2 too large)" in text
