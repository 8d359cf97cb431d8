"""The rules of the house, read off the imports: who may import whom, and which file knows TransformerLens."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WINGS = ("llm_codes", "vision_codes", "toy")
ALLOWED = {"eval": {"eval"}, **{wing: {wing, "eval"} for wing in WINGS}}
OURS = set(ALLOWED)


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module an AST imports, by its full dotted name (functions' local imports too)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def violations(package: str, source: str) -> list[str]:
    """House rules that `source`, a file of `package`, breaks."""
    found = list(imports(ast.parse(source)))
    broken = [f"imports {name}" for name in found if name.split(".")[0] in OURS - ALLOWED[package]]
    broken += (
        ["bare `import eval` hides the builtin"]
        if "eval"
        in [alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for alias in node.names]
        else []
    )
    return broken


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", sorted(OURS))
def test_wings_stand_on_eval_and_never_on_each_other(package):
    broken = {
        str(path.relative_to(ROOT)): rules
        for path in files(package)
        if (rules := violations(package, path.read_text()))
    }
    assert broken == {}


def test_only_models_knows_transformer_lens():
    knowing = [
        str(path.relative_to(ROOT))
        for package in OURS
        for path in files(package)
        if any(name.split(".")[0] == "transformer_lens" for name in imports(ast.parse(path.read_text())))
    ]
    assert knowing == ["llm_codes/models.py"]


def test_there_is_no_utils_module():
    assert [path for package in OURS for path in files(package) if path.stem in ("utils", "util", "helpers")] == []


@pytest.mark.parametrize(
    ("package", "source", "rule"),
    [
        ("eval", "from llm_codes import models", "imports llm_codes"),
        ("toy", "import vision_codes.data", "imports vision_codes.data"),
        ("llm_codes", "import eval", "bare `import eval` hides the builtin"),
    ],
)
def test_a_broken_rule_is_seen(package, source, rule):
    assert rule in violations(package, source)


def test_configurations_do_not_import_torch():
    """`--help` is instant because no configuration pulls torch in."""
    import subprocess
    import sys

    modules = [
        f"{wing}.configs.{path.stem}"
        for wing in WINGS
        for path in (ROOT / wing / "configs").glob("*.py")
        if path.stem != "__init__"
    ]
    code = f"import sys, importlib; [importlib.import_module(m) for m in {modules!r}]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
