"""ImageNet-style folders: which classes, which splits, which files, and what was left out and why.

    root/<class>/<image files>                  one set; train and test are 80% and 20% of it by seed
    root/train/<class>/..., root/val/<class>/   splits, whatever case their names are in

Hidden folders and files and folders without an image are ignored, and said. Axis glossary: as `data`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.errors import UserError
from eval.progress import progress, say
from vision_codes.image_files import BACKGROUND, Unreadable, read_image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation", "eval")}
TRAIN_SHARE = 0.8
"""Of a folder that has no split folders: training images by seed; the rest are the test images."""


@dataclass(frozen=True)
class FolderImages:
    """What was read. skipped: unreadable files, each ``"name: why"``; facts: for the provenance."""

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    skipped: tuple[str, ...]
    available: int
    facts: dict


@dataclass(frozen=True)
class _Listing:
    """Image files with their class names, in order; classes of every split; ignored: folders, each with its reason."""

    files: list[tuple[Path, str]]
    classes: tuple[str, ...]
    ignored: tuple[str, ...]
    split: str


def read_folder(root: Path, split: str, n: int | None, seed: int, size: int | None) -> FolderImages:
    """`n` images of a folder (all where None) by seed; only the files that are drawn are read.

    Args:
        root: of the folder; split: `train`, `test` or `all`; size: side in pixels, or None for the files' own size and
            channels, which must then all agree.

    Raises:
        UserError: no image, a split that is not there, classes one level deeper than expected, all files unreadable,
            files of different sizes where their own size was asked for.
    """
    listing = _list(root, split, seed)
    if listing.ignored:
        say(f"{root.name}: ignored {len(listing.ignored)} folders: {'; '.join(listing.ignored[:5])}")
    images, labels, skipped, reasons = [], [], [], Counter()
    for index in progress(draw(len(listing.files), n, seed), label=f"reading {root.name}", unit="image"):
        path, class_name = listing.files[index]
        try:
            image = read_image(path, size)
        except Unreadable as error:
            skipped.append(f"{path.relative_to(root)}: {error}")
            reasons[error.kind] += 1
            continue
        if images and image.shape != images[0].shape:
            raise UserError(
                f"expected images of one size in {root}; got {_size(images[0])} and {_size(image)} "
                f"({path.relative_to(root)}); bring them to one size"
            )
        images.append(image)
        labels.append(listing.classes.index(class_name))
    if not images:
        raise UserError(f"expected readable images in {root}; all {len(skipped)} are damaged (first: {skipped[0]})")
    if skipped:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(reasons.items()))
        total = len(listing.files)
        say(f"warning: skipped {len(skipped)} unreadable of {total} files: {'; '.join(skipped[:3])} ({counts})")
    facts = {
        "source": f"folder {root.name}{listing.split}",
        "skipped_by_reason": dict(sorted(reasons.items())),
        "ignored_folders": len(listing.ignored),
        "transparent_over": BACKGROUND,
    }
    return FolderImages(np.stack(images), np.array(labels), listing.classes, tuple(skipped), len(listing.files), facts)


def draw(available: int, n: int | None, seed: int) -> np.ndarray:
    """`n` of `available` items without replacement by seed, in their own order; all of them where n is None."""
    if n is None or n >= available:
        return np.arange(available)
    return np.sort(np.random.default_rng(seed).permutation(available)[:n])


def _size(image: np.ndarray) -> str:
    return " x ".join(map(str, image.shape))


def _list(root: Path, split: str, seed: int) -> _Listing:
    splits = {kind: _split_folder(root, kind) for kind in SPLIT_FOLDERS}
    present = {kind: folder for kind, folder in splits.items() if folder is not None}
    if not present:
        return _one_set(root, split, seed)
    if split != "all" and split not in present:
        raise UserError(
            f"expected a {split}/ folder in {root}; it holds {', '.join(p.name for p in present.values())}; "
            "ask for another split"
        )
    found = {kind: _classes(folder) for kind, folder in present.items()}
    classes = tuple(sorted({name for by_class, _ in found.values() for name in by_class}))
    chosen = [kind for kind in found if split in ("all", kind)]
    files = [(path, name) for kind in chosen for name, paths in found[kind][0].items() for path in paths]
    ignored = [f"{present[kind].name}/{text}" for kind in chosen for text in found[kind][1]]
    used = {folder.name for folder in present.values()}
    others = [p.name for p in _folders(root) if p.name not in used and not _is_split_name(p.name)]
    ignored += [f"{name} (beside {', '.join(sorted(used))})" for name in others]
    if not files:
        raise _nothing(root)
    return _Listing(files, classes, tuple(ignored), "" if split == "all" else f"/{present[split].name}")


def _one_set(root: Path, split: str, seed: int) -> _Listing:
    by_class, ignored = _classes(root)
    files = [(path, name) for name, paths in by_class.items() for path in paths]
    if not files:
        raise _nothing(root)
    _refuse_deeper(root, by_class)
    classes, note = tuple(sorted(by_class)), ""
    if split != "all":
        first = set(np.random.default_rng(seed).permutation(len(files))[: round(TRAIN_SHARE * len(files))].tolist())
        files = [file for i, file in enumerate(files) if (i in first) == (split == "train")]
        note = (
            f", {TRAIN_SHARE:.0%} of it by seed" if split == "train" else f", the other {1 - TRAIN_SHARE:.0%} by seed"
        )
        if not files:
            raise UserError(f"expected a {split} split of {root}; it holds one image; ask for split 'all'")
    return _Listing(files, classes, tuple(ignored), note)


def _nothing(root: Path) -> UserError:
    return UserError(f"expected {root}/<class>/<image files>; found no image file; check the path and the suffixes")


def _hidden(name: str) -> bool:
    return name.startswith((".", "__"))


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir())


def _is_split_name(name: str) -> bool:
    return any(name.lower() in names for names in SPLIT_FOLDERS.values())


def _split_folder(root: Path, kind: str) -> Path | None:
    """The folder of a split: one of its names, with class folders (not images) directly below."""
    by_name = {p.name.lower(): p for p in _folders(root)}
    for name in SPLIT_FOLDERS[kind]:
        folder = by_name.get(name)
        if folder is not None and not _images(folder, deep=False) and any(_images(p) for p in _folders(folder)):
            return folder
    return None


def _images(folder: Path, deep: bool = True) -> list[Path]:
    """Image files of a folder, hidden ones left out."""
    paths = folder.rglob("*") if deep else folder.iterdir()
    inside = (p for p in paths if not any(_hidden(part) for part in p.relative_to(folder).parts))
    return sorted(p for p in inside if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


def _classes(base: Path) -> tuple[dict[str, list[Path]], list[str]]:
    """Image files by class folder, and the folders that are none, with the reason."""
    by_class, ignored = {}, []
    for folder in _folders(base):
        if _hidden(folder.name):
            ignored.append(f"{folder.name} (hidden)")
        elif files := _images(folder):
            by_class[folder.name] = files
        else:
            ignored.append(f"{folder.name} (no image)")
    return by_class, ignored


def _refuse_deeper(root: Path, by_class: dict[str, list[Path]]) -> None:
    """Folders of folders: the classes lie one level deeper than the folder that was named."""
    if any(path.parent == root / name for name, paths in by_class.items() for path in paths):
        return
    for name in by_class:
        below = [p.name for p in _folders(root / name) if not _hidden(p.name) and _images(p)]
        if len(below) > 1:
            raise UserError(
                f"expected {root}/<class>/<image files>; {name}/ holds no image but the folders "
                f"{', '.join(below[:3])}{', ...' if len(below) > 3 else ''}: the classes lie one level deeper; "
                f"pass {root / name}"
            )
