"""The reference pages that are written from the code: `docs/reference/results.md` and `docs/reference/api/*.md`.

python -m tests.reference_pages     (`make reference`) writes them anew; a test compares them with the code
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FACES = ("eval", "llm_codes", "vision_codes", "toy")
RESULTS_HEAD = """# Results files

What the `results.json` of each verb holds, written from its type. The whole schema is in the
package, `eval/schemas/<wing>-<verb>.json`. `null` is an undefined value; its reason stands beside it. `?` marks keys
that may be absent.
"""


def face_places(package: str) -> list[str]:
    """Dotted places of a face's names, read from its source (`from a.b import c` under `TYPE_CHECKING`)."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    public = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    )
    places = {
        alias.name: f"{node.module}.{alias.name}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    kept = [name for name in public if name in places]
    return [places[name] for name in sorted(kept, key=str.lower)]


def api_page(package: str) -> str:
    """Every public name of a face; mkdocstrings fills in signature and docstring."""
    doc = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    lines = [f"# {package}", "", doc.split("\n\n")[0], ""]
    return "\n".join([*lines, *(f"::: {place}\n" for place in face_places(package))]).rstrip("\n") + "\n"


def measures_page() -> str:
    """Every module of the nine rooms of measures, room by room."""
    lines = ["# Measures", "", "Arrays in, descriptions out; no model, no I/O. Room by room.", ""]
    for room in sorted(path.parent for path in (ROOT / "eval" / "measures").glob("*/__init__.py")):
        lines += [f"## {room.name}", ""]
        modules = sorted(path.stem for path in room.glob("*.py") if not path.stem.startswith("_"))
        for module in modules:
            lines += [f"::: eval.measures.{room.name}.{module}", "    options: {heading_level: 3}", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def results_page() -> str:
    """The keys of every results file, and of the rows in them."""
    lines = [RESULTS_HEAD]
    for path in sorted((ROOT / "eval" / "schemas").glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        wing, _, verb = path.stem.partition("-")
        lines += [f"## {wing} {verb}", "", *_table(schema)]
        for key, value in schema["properties"].items():
            rows = _object(value)
            if rows.get("properties"):
                lines += [f"**`{key}`**", "", *_table(rows)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """The object that a value, a list of values or an optional value is made of."""
    for option in schema.get("anyOf", [schema]):
        inner = option.get("items", option)
        if isinstance(inner, dict) and inner.get("properties"):
            return inner
    return {}


def _table(schema: dict[str, Any]) -> list[str]:
    required = set(schema.get("required", ()))
    rows = [
        f"| `{key}`{'' if key in required else '?'} | {kind(value)} | {_escaped(value.get('description', ''))} |"
        for key, value in schema.get("properties", {}).items()
    ]
    return ["| key | type | what |", "|---|---|---|", *rows, ""]


def kind(schema: dict[str, Any]) -> str:
    """A schema's type in words: `list of object`, `number or null`."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(option) for option in schema["anyOf"]))
    named = schema.get("type", "any")
    if isinstance(named, list):
        return " or ".join(kind({**schema, "type": name}) for name in named)
    if named == "array" and isinstance(schema.get("items"), dict):
        return f"list of {kind(schema['items'])}"
    return "list" if named == "array" else str(named)


def _escaped(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def tutorial_page(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: its words, its code, and what the code showed (text, tables as text, pictures)."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![What the code above draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
    words = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{words.rstrip()}\n```" if words.strip() else ""


def pages() -> dict[str, str]:
    """The text of every page by its path in docs."""
    api = {f"reference/api/{package}.md": api_page(package) for package in FACES}
    tutorials = {
        f"tutorials/{path.stem}.md": tutorial_page(json.loads(path.read_text(encoding="utf-8")))
        for path in sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
    }
    return {**api, **tutorials, "reference/api/measures.md": measures_page(), "reference/results.md": results_page()}


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs with the files of the site: adds the pages."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files
