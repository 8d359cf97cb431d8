"""Make a CPU-only torch live with a torchvision whose compiled operators cannot load.

torchvision registers Python meta-kernels for `torchvision::nms` at import. Where its compiled library failed to load
(a CPU torch beside a CUDA torchvision), the operator does not exist, `import torchvision` fails, and with it every
transformers model import. Declaring the two missing schemas is enough: models, transforms and data sets then work, and
calling `nms` itself still fails by name. With a matched pair this module does nothing.

`declare_before_torchvision` waits for the first import of torchvision, by whomever (transformers and sae-lens import
it too), and declares the schemas just before it: no import order matters, and nothing imports torch early.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")
_under_way: list[bool] = []  # looking for torchvision's folder asks the watch below again
_kept_alive: list[object] = []  # a torch.library.Library drops its definitions when it is collected


def _compiled_library_loads() -> bool:
    """Whether torchvision's compiled operators exist or can be loaded into this torch."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True  # no torchvision: nothing to mend
    folder = Path(next(iter(spec.submodule_search_locations)))
    candidates = [folder / f"_C{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    candidates += sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd"))
    for path in candidates:
        if path.exists():
            try:
                torch.ops.load_library(str(path))
                return True
            except OSError:
                return False
    return False


def declare_missing_operators() -> list[str]:
    """Declare `torchvision::nms` and `qnms` where they are missing; returns the names declared (empty: none needed).

    Call before the first import of transformers or torchvision. Safe to call many times.
    """
    import torch

    if _kept_alive or _under_way or hasattr(torch.ops.torchvision, "nms"):
        return []
    _under_way.append(True)
    try:
        return [] if _compiled_library_loads() else _declare()
    finally:
        _under_way.clear()


def _declare() -> list[str]:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in _OPERATORS:
        library.define(f"{name}{_SCHEMA}")
    _kept_alive.append(library)
    return [f"torchvision::{name}" for name in _OPERATORS]


class _TorchvisionWatch:
    """An import finder that finds nothing: it declares the operators when torchvision is about to be imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "torchvision":
            with contextlib.suppress(ImportError):  # without torch, torchvision's own import says so
                declare_missing_operators()
        return None


def declare_before_torchvision() -> None:
    """Have the missing operators declared before torchvision is first imported; safe to call many times."""
    if not any(isinstance(finder, _TorchvisionWatch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TorchvisionWatch())
