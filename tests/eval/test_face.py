"""The lazy face of a package: names are imported when used, and typing errors name the nearest."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from eval.face import lazy


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("a_package")
    monkeypatch.setitem(sys.modules, "a_package", module)
    module.__getattr__, module.__dir__ = lazy("a_package", {"root": "math:sqrt", "score": "eval.scores:Score"})  # type: ignore[method-assign]
    return module


def test_names_are_imported_when_they_are_used(package):
    assert "root" not in vars(package)
    assert package.root(9) == 3 and "root" in vars(package)
    assert dir(package) == ["__version__", "root", "score"]
    assert isinstance(package.__version__, str)


def test_an_unknown_name_suggests_a_public_one(package):
    with pytest.raises(AttributeError, match="module 'a_package' has no attribute 'scores'; did you mean score?"):
        _ = package.scores
    assert not hasattr(package, "__wrapped__")
