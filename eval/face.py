"""The public face of a package: names that are imported when they are first used.

    # vision_codes/__init__.py
    _PLACES = {"load_images": "vision_codes.data:load_images"}
    __all__ = ["__version__", "load_images"]
    __getattr__, __dir__ = lazy(__name__, _PLACES)

`import vision_codes` then costs nothing, `from vision_codes import load_images` what that function needs, and a typing
error names the nearest public name. What is not in the table is private.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Mapping
from typing import Any

from eval.errors import nearest

DISTRIBUTION = "neural-codes"


def lazy(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose public names stand at `module:name`, or are modules themselves.

    `__version__` is the installed version of the suite (`"0"` for a checkout that is not installed). An unknown name
    raises `AttributeError` with the nearest public ones.
    """

    def get(name: str) -> Any:
        if name == "__version__":
            return _version()
        place = places.get(name)
        if place is None:
            hint = "" if name.startswith("_") else f"; {nearest(name, places)}"
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        module, _, attribute = place.partition(":")
        found = importlib.import_module(module)
        value = getattr(found, attribute) if attribute else found
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted([*places, "__version__"])


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "0"
