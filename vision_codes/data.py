"""Images as one array: CIFAR-10, MNIST, ImageNet-style folders, and synthetic ones where there is no data at all.

Axis glossary: ``image``, ``channel`` (1 grey, 3 red-green-blue), ``height``, ``width``.

Where the environment variable ``NEURAL_CODES_DATA`` names a folder, data sets are read from it and nothing is
downloaded; otherwise torchvision downloads into ``~/.cache/neural-codes``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from einops import rearrange
from jaxtyping import Int64, UInt8

from eval.caches import user_folder
from eval.errors import UserError, known_name
from eval.torchvision_operators import declare_missing_operators
from vision_codes.image_folders import FolderImages, draw, read_folder
from vision_codes.synthetic_images import SPLITS, synthetic

NAMES = ("cifar10", "mnist", "synthetic")
CIFAR10_CLASSES = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one size.

    images: ``uint8 [image channel height width]``; labels: ``int64 [image]``, indices into ``class_names``.
    provenance: name, split, source, how many there were, a hash of the pixels.
    skipped: files that could not be read, each as ``"name: why"``; they are counted in ``provenance["skipped"]``.
    """

    images: UInt8[np.ndarray, "image channel height width"]
    labels: Int64[np.ndarray, " image"]
    class_names: tuple[str, ...]
    provenance: dict[str, Any]
    skipped: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.images)

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[2], self.images.shape[3]


def load_images(
    name: str,
    split: str = "train",
    n: int | None = None,
    seed: int = 0,
    *,
    size: int | None = None,
    own_size: bool = False,
) -> ImageSet:
    """Which images are there? ``n`` of them (all where ``n`` is None), drawn without replacement by ``seed``.

    Args:
        name: ``cifar10``, ``mnist``, ``synthetic``, or the path of an ImageNet-style folder (one sub-folder per class,
            optionally below ``train/`` and ``val/``; `image_folders`).
        split: ``train``, ``test`` or ``all`` (every image present). A folder without split folders is divided by seed.
        n: how many; fewer where there are fewer (the provenance says so). Kept in the data set's own order.
        seed: of the draw (and of the synthetic images).
        size: side in pixels for folders (shorter side resized, centre cropped; 224 by default) and synthetic images
            (32 by default); other data sets keep their own size.
        own_size: read the files of a folder at their own size and with their own channels (grey stays grey).

    Raises:
        UserError: unknown name or split, a missing or damaged data set, ``n`` below 1, a folder without images.
    """
    known_name(split, SPLITS, "split")
    if n is not None and n < 1:
        raise UserError(f"expected at least 1 image; got n={n}; ask for more, or for all with n=None")
    if Path(name).is_dir() and name not in NAMES:
        found = read_folder(Path(name), split, n, seed, None if own_size else size or 224)
    else:
        found = _named(name, split, n, seed, size)
    return _image_set(found, Path(name).name, split, seed)


def _image_set(found: FolderImages, name: str, split: str, seed: int) -> ImageSet:
    """What was read, with where it comes from."""
    images = np.ascontiguousarray(found.images)
    provenance = {
        "name": name,
        "split": split,
        "source": found.facts["source"],
        "n": len(images),
        "n_available": found.available,
        "shape": list(images.shape[1:]),
        "skipped": len(found.skipped),
        "sha256": hashlib.sha256(images.tobytes()).hexdigest()[:16],
        "seed": seed,
        **found.facts,
    }
    return ImageSet(images, found.labels.astype(np.int64), found.class_names, provenance, found.skipped)


def _named(name: str, split: str, n: int | None, seed: int, size: int | None) -> FolderImages:
    """`n` images of a data set that has a name."""
    if os.sep in name:
        raise UserError(f"expected an image folder; got {name}, which does not exist; check the path")
    known_name(name, NAMES, "data set")
    readers: dict[str, Callable[[], tuple]] = {
        "cifar10": lambda: _read_cifar10(split),
        "mnist": lambda: _read_mnist(split),
        "synthetic": lambda: synthetic(n or 1000, size or 32, seed, split),
    }
    images, labels, classes, source = readers[name]()
    keep = draw(len(images), n, seed)
    return FolderImages(images[keep], labels[keep], tuple(classes), (), len(images), {"source": source})


def data_folder() -> Path | None:
    """The folder that ``NEURAL_CODES_DATA`` names, or None where it is unset; a missing folder is an error."""
    text = os.environ.get("NEURAL_CODES_DATA")
    if not text:
        return None
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise UserError(
            f"expected a folder of data sets; got NEURAL_CODES_DATA={text}, which is none; correct or unset it"
        )
    return folder


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {key: data[key] for key in data.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "it is none" if "pickle" in str(error) else error  # what is no archive, NumPy takes for a pickle
        raise UserError(f"expected a NumPy archive; {path} is damaged ({reason}); fetch it again") from error


def _read_cifar10(split: str) -> tuple:
    if split == "all":
        parts = [_read_cifar10(part) for part in ("train", "test")]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), *parts[0][2:]
    root = data_folder()
    if root is None:
        return _torchvision("CIFAR10", user_folder(), split, download=True)
    path = root / "cifar10" / f"{split}.npz"
    if not path.exists():
        if (root / "cifar-10-batches-py").is_dir():
            return _torchvision("CIFAR10", root, split, download=False)
        raise UserError(f"expected CIFAR-10 at {path}; there is no such file; put it there or unset NEURAL_CODES_DATA")
    data = _read_npz(path)
    if missing := {"images", "labels"} - set(data):
        raise UserError(
            f"expected arrays 'images' and 'labels' in {path}; {sorted(missing)} are missing; fetch it again"
        )
    images, labels = data["images"], data["labels"].ravel()
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (3, 32, 32) or len(images) != len(labels):
        raise UserError(
            f"expected uint8 images (n, 3, 32, 32) and n labels in {path}; "
            f"got {images.dtype} {images.shape} and {len(labels)} labels; fetch it again"
        )
    return images, labels, CIFAR10_CLASSES, "NEURAL_CODES_DATA/cifar10"


def _torchvision(dataset: str, root: Path, split: str, *, download: bool) -> tuple:
    """A torchvision data set as arrays; downloads where asked."""

    declare_missing_operators()
    from torchvision import datasets

    try:
        data = getattr(datasets, dataset)(str(root), train=split == "train", download=download)
    except Exception as error:  # torchvision raises RuntimeError, URLError, OSError, ...: all mean "not to be had"
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"expected to read or download {dataset}; got {line}; "
            "set NEURAL_CODES_DATA to a folder that holds it (cifar10/train.npz, mnist/t10k-images-idx3-ubyte.gz)"
        ) from error
    pixels = np.asarray(data.data)
    grey = pixels.ndim == 3
    images = pixels[:, None] if grey else rearrange(pixels, "image height width colour -> image colour height width")
    return np.ascontiguousarray(images), np.asarray(data.targets), tuple(data.classes), f"torchvision {dataset}"


def _read_idx(path: Path) -> np.ndarray:
    """An idx file of LeCun et al., gzipped or not."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    found = path if path.exists() else plain
    if not found.exists():
        others = ", ".join(sorted(p.name for p in path.parent.glob("*ubyte*"))) or "nothing"
        raise UserError(
            f"expected MNIST at {path}; that folder holds {others}; ask for another split or put the file there"
        )
    try:
        raw = found.read_bytes()
        raw = gzip.decompress(raw) if found.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"expected a gzipped idx file; {found} is damaged ({error}); fetch it again") from error
    n_axes = raw[3] if len(raw) >= 4 else 0
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(n_axes))
    if raw[:3] != b"\x00\x00\x08" or len(raw) != 4 + 4 * n_axes + int(np.prod(shape)):
        raise UserError(
            f"expected an idx file of bytes; {found} is damaged (its header and length disagree); fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * n_axes).reshape(shape)


def _read_mnist(split: str) -> tuple:
    root = data_folder()
    classes = tuple("0123456789")
    if root is None:
        if split == "all":
            parts = [_torchvision("MNIST", user_folder(), part, download=True) for part in ("train", "test")]
            return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), classes, parts[0][3]
        images, labels, _, source = _torchvision("MNIST", user_folder(), split, download=True)
        return images, labels, classes, source
    folder = root / "mnist"
    stems = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k")}[split]
    if split == "all":  # every image present: MNIST is often at hand as its test half only
        stems = tuple(s for s in stems if list(folder.glob(f"{s}-images-idx3-ubyte*"))) or ("t10k",)
    images = np.concatenate([_read_idx(folder / f"{stem}-images-idx3-ubyte.gz") for stem in stems])
    labels = np.concatenate([_read_idx(folder / f"{stem}-labels-idx1-ubyte.gz") for stem in stems])
    if len(images) != len(labels):
        raise UserError(
            f"expected as many MNIST labels as images; got {len(labels)} and {len(images)}; fetch them again"
        )
    return images[:, None], labels, classes, "NEURAL_CODES_DATA/mnist " + "+".join(stems)
