"""What code computed a number: a fingerprint of modules and of all project code beneath them, by content.

Question answered: would the code of today compute this again in the same way? A run compares its fingerprint with that
of the code at hand before it continues; a finding whose fingerprint differs is shown as stale.

What enters: every top-level statement of the named modules and of every project module that they import, directly or
through others (imports inside functions too), as a canonical dump of its syntax tree, and the bytes of the text files
beside a package that is reached itself (prompts).

What does not: comments, docstrings, annotations of arguments and results, the words of options and errors, imports (a
module may move), blocks under `if TYPE_CHECKING:`, `__all__`, whatever draws or writes pages (`DRAWING`) and whatever
carries a run without computing anything of it (`CARRYING`). Neither do module names nor the order of modules and of
top-level statements: code that moves between modules of the same closure keeps its fingerprint. Third-party packages
are not read: a run's versions say those.

Limits: a module reached only through `importlib` and a string is not seen; name it as well. Where two modules of one
closure define the same name, exchanging which of the two is imported is not seen either.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from eval.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("eval", "llm_codes", "vision_codes", "toy")
DRAWING = ("figures", "chapter", "page", "cards", "dashboards")
"""A module with one of these words as a part of its dotted name draws or writes pages."""
CARRYING = tuple(
    f"eval.{name}"
    for name in (
        "report errors progress options option_values flags commands config_files exit_status face shadowing files "
        "runs run_folder run_items run_marker run_identity run_commands pieces results result_json result_schemas "
        "code_identity wandb_logging"
    ).split()
)
"""Modules (and everything below them) through which no number is computed."""
WORDED = {"option": 1, "UserError": 0}
"""Calls of which only so many arguments by place count; the others, and `help=`, are words for people."""


def code_identity(module_names: Iterable[str], root: Path = ROOT) -> str:
    """The fingerprint of `module_names` and of all project code beneath them.

    Args:
        module_names: dotted names, `("llm_codes.lenses.spectra.study",)`; order and repetition do not matter. A module
            that draws or carries is left out even where it is named.
        root: folder that holds the four packages; the installed ones by default.

    Returns:
        16 hexadecimal digits (the head of a SHA-256), equal for equal code on Python 3.11 and later.

    Raises:
        UserError: no name is given, a name is none of the project's modules, or nothing named computes anything.
    """
    names = list(module_names)
    if not names:
        raise UserError("expected at least one module name, got none; name the modules that compute the numbers")
    digests = sorted(digest for name in closure(names, root) for digest in module_digests(root, name))
    if not digests:
        raise UserError(
            f"expected modules that compute, got none in {', '.join(names)}; name the study, not its package"
        )
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def closure(module_names: Iterable[str], root: Path = ROOT) -> list[str]:
    """The named modules and every project module beneath them, sorted; drawing and carrying ones left out.

    Raises `UserError` where a name is none of the project's modules.
    """
    todo = list(module_names)
    for name in todo:
        if module_path(root, name) is None:
            raise UserError(
                f"expected a module of {', '.join(PACKAGES)}, got {name!r}; use its dotted name (llm_codes.models)"
            )
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in seen and not left_out(name):
            seen.add(name)
            todo += _imported(root, name)
    return sorted(seen)


def left_out(name: str) -> bool:
    """Whether a module draws, writes pages, or carries a run without computing anything of it."""
    carries = any(name == carrying or name.startswith(f"{carrying}.") for carrying in CARRYING)
    return carries or any(part in DRAWING for part in name.split("."))


@cache
def module_path(root: Path, name: str) -> Path | None:
    """The source file of a project module, or `None` where `name` is none."""
    if name.split(".")[0] not in PACKAGES:
        return None
    stem = root.joinpath(*name.split("."))
    return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)


@cache
def _imported(root: Path, name: str) -> tuple[str, ...]:
    """Project modules that a module imports, wherever in the file; those for type checking only are left out."""
    path = module_path(root, name)
    assert path is not None
    found: set[str] = set()
    for module, names in _import_lines(path.read_bytes()):
        inner = {f"{module}.{one}" for one in names}
        modules = {target for target in inner if module_path(root, target)}
        found |= modules if inner and modules == inner else modules | {module}
    return tuple(sorted(target for target in found if module_path(root, target)))


@cache
def _import_lines(source: bytes) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What a file imports, each module with the names taken from it (`import a.b`: none)."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in _without_type_checking(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append((node.module, tuple(alias.name for alias in node.names)))
    return tuple(found)


def _without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not _is_type_checking(child):
            yield child
            yield from _without_type_checking(child)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def module_digests(root: Path, name: str) -> tuple[str, ...]:
    """One digest for each top-level statement that computes, and for each text file of a package."""
    path = module_path(root, name)
    assert path is not None
    texts = sorted(path.parent.glob("*.txt")) if path.name == "__init__.py" else []
    return (*_statement_digests(path.read_bytes()), *(_digest(text.read_bytes()) for text in texts))


@cache
def _statement_digests(source: bytes) -> tuple[str, ...]:
    statements = [node for node in ast.parse(source).body if not _is_silent(node)]
    return tuple(_digest(canonical(node).encode()) for node in statements)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_silent(node: ast.AST) -> bool:
    """Statements that compute nothing: imports, bare strings (docstrings), `__all__`, blocks for type checking."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)] == ["__all__"]
    return isinstance(node, (ast.Import, ast.ImportFrom)) or _is_type_checking(node)


def canonical(value: Any) -> str:
    """A syntax tree as text: fields by name, empty ones and positions left out, silent statements dropped.

    `ast.dump` will not do: it prints fields that were added in later Python versions.
    """
    if isinstance(value, list):
        return f"[{','.join(canonical(item) for item in value if not _is_silent(item))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in WORDED:
        keywords = [keyword for keyword in value.keywords if keyword.arg != "help"]
        value = ast.Call(value.func, value.args[: WORDED[value.func.id]], keywords)
    skipped = {"ctx", "kind", "type_comment"}
    if isinstance(value, (ast.arg, ast.FunctionDef, ast.AsyncFunctionDef)):
        skipped |= {"annotation", "returns", "type_params"}
    fields = [
        f"{name}={canonical(item)}"
        for name, item in ast.iter_fields(value)
        if name not in skipped and item is not None and item != []
    ]
    if isinstance(value, ast.Constant) and value.value is None:
        fields = ["value=None"]
    return f"{type(value).__name__}({','.join(fields)})"
