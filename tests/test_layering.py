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


ROLES = {"study": 1, "claims": 2, "figures": 2, "chapter": 3, "command": 4}
"""Height of a role: a file imports downward, or sideways within its own height."""


def project_files(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the four packages by its dotted name."""
    found = {}
    for package in sorted(OURS):
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which project module imports which, lazy imports and type-checking ones counted; package faces left out."""
    graph: dict[str, set[str]] = {}
    for name, source in sources.items():
        reached = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                reached |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                reached |= (inner & sources.keys()) or {node.module}
        graph[name] = {target for target in reached & sources.keys() if target != name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other (strongly connected, more than one), each sorted."""
    found: list[list[str]] = []
    reach = {name: _reachable(graph, name) for name in graph}
    for name in graph:
        group = sorted(other for other in reach[name] if name in reach[other])
        if len(group) > 1 and group not in found:
            found.append(group)
    return found


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for target in graph[todo.pop()] - seen:
            seen.add(target)
            todo.append(target)
    return seen


def role(name: str) -> int | None:
    """The height of a module's role, `None` where it has none (then it may be used by every role)."""
    return ROLES.get(name.rpartition(".")[2])


def arrows_upward(graph: dict[str, set[str]]) -> list[str]:
    """`module -> module` where a lower role imports a higher one of its own wing."""
    return [
        f"{name} -> {target}"
        for name, targets in graph.items()
        for target in sorted(targets)
        if name.split(".")[0] == target.split(".")[0]
        and (low := role(name)) is not None
        and (high := role(target)) is not None
        and high > low
    ]


@pytest.fixture(scope="module")
def house() -> dict[str, set[str]]:
    modules = {name: path for name, path in project_files().items() if path.name != "__init__.py"}
    return import_graph({name: path.read_text(encoding="utf-8") for name, path in modules.items()})


def test_no_two_modules_import_each_other(house):
    assert circles(house) == []


def test_no_role_imports_a_higher_one(house):
    assert arrows_upward(house) == []


def test_studies_know_no_figure_and_no_page():
    """A study computes: neither matplotlib nor the report's pages are within its direct reach."""
    drawing = ("matplotlib", "eval.report.figures", "eval.report.page")
    broken = {
        name: [target for target in imports(ast.parse(path.read_text(encoding="utf-8"))) if target.startswith(drawing)]
        for name, path in project_files().items()
        if name.endswith(".study")
    }
    assert {name: found for name, found in broken.items() if found} == {}


def test_tests_stand_where_their_modules_stand():
    """`tests/a/b/test_c.py` (or `test_c_more.py`) tests the module `a/b/c.py`, or the room `a/b/c`."""
    homeless = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = ROOT / path.parent.relative_to(ROOT / "tests")
        if folder == ROOT or "benchmarks" in path.parts:
            continue
        words = path.stem.removeprefix("test_").split("_")
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        if not any((folder / f"{name}.py").exists() or (folder / name).is_dir() for name in names):
            homeless.append(str(path.relative_to(ROOT)))
    assert homeless == []


def test_broken_walls_are_seen():
    circle = import_graph({"a.study": "from a.claims import judge", "a.claims": "def f():\n    import a.study"})
    assert circles(circle) == [["a.claims", "a.study"]]
    assert arrows_upward(circle) == ["a.study -> a.claims"]
    assert circles(import_graph({"a": "import b", "b": "import c", "c": ""})) == []


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
