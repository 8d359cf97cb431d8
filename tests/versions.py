"""Which versions of its dependencies the suite takes, was pinned to, and was tested with: `docs/reference/versions.md`.

    python -m tests.versions             writes the page from pyproject.toml, constraints.txt and versions.json
    python -m tests.versions --resolve   asks the package index first (`uv`; installs nothing)

`docs/reference/versions.json` holds what was resolved, the test files that passed with the lowest and with the newest
versions, and what was tried on each Python.
"""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "docs" / "reference" / "versions.json"
PAGE = ROOT / "docs" / "reference" / "versions.md"
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
SOURCE_ONLY = "transformers-stream-generator"
"""No wheel of it exists; everything else is resolved to wheels."""
HEAD = """# Versions

Every dependency: the range that is declared, the version that `constraints.txt` pins (with which every test runs), the
lowest and the newest version that resolve together. Written by `make versions`, which asks the package index and
installs nothing but `uv`; `make newest` puts the newest into an environment of its own and runs the fast tests there.

"""


def requirements() -> dict[str, str]:
    """The declared range of every dependency, by name; `any` where none is given."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [re.match(r"([A-Za-z0-9._-]+)(.*)", line) for line in project["dependencies"]]
    return {part[1].lower(): part[2] or "any" for part in parts if part}


def pinned(text: str) -> dict[str, str]:
    """Versions by name, from lines `name==version`."""
    lines = [line.split(";")[0].strip().partition("==") for line in text.splitlines() if "==" in line]
    return {name.lower().replace("_", "-"): version for name, _, version in lines}


def resolved(resolution: str, python: str = "3.11") -> dict[str, str]:
    """The versions that resolve together on a Python, of the declared dependencies."""
    lines = "\n".join(name + ("" if found == "any" else found) for name, found in requirements().items())
    command = f"uv pip compile - -q --no-header --no-annotate --only-binary :all: --no-binary {SOURCE_ONLY}"
    words = [*command.split(), "--python-version", python, "--resolution", resolution]
    text = subprocess.run(words, input=lines, capture_output=True, text=True, check=True).stdout
    return {name: version for name, version in pinned(text).items() if name in requirements()}


def at_the_lowest(data: dict[str, Any], name: str) -> str:
    """Whether the lowest version is the one that was installed while the tests named in the data passed."""
    return (
        "in the tests below"
        if data["tested"]["versions"].get(name) == data["lowest"].get(name)
        else "resolved, not tested"
    )


def page(data: dict[str, Any]) -> str:
    """The whole page as Markdown."""
    pins = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    lines = [
        "| package | declared | pinned (all tests) | lowest | at the lowest | newest |",
        "|---|---|---|---|---|---|",
    ]
    for name, declared in sorted(requirements().items()):
        newest = data["newest"].get(name, "")
        tried = newest == data.get("tested newest", {}).get("versions", {}).get(name)
        newest += "" if newest == pins[name] else " (in the tests below)" if tried else " (resolved, not tested)"
        cells = (name, f"`{declared}`", pins[name], data["lowest"].get(name, ""), at_the_lowest(data, name), newest)
        lines.append(f"| {' | '.join(cells)} |")
    about = f"Resolved on {data['date']} for Python 3.11."
    return HEAD + "\n".join([*lines, "", about, "", *pythons_table(data), *tested_lines(data)]) + "\n"


def pythons_table(data: dict[str, Any]) -> list[str]:
    """What was tried on each Python, and what kept the rest from being tried."""
    rows = [f"| {row['python']} | {row['tried']} | {row['not tried']} |" for row in data["pythons"]]
    return ["## Pythons", "", "| Python | tried | not tried |", "|---|---|---|", *rows, ""]


def tested_lines(data: dict[str, Any]) -> list[str]:
    """The tests that passed with the lowest and with the newest versions together; a set not tried is left out."""
    lines = []
    for key, kind in (("tested", "lowest"), ("tested newest", "newest")):
        if found := data.get(key):
            about = f"On Python {found['python']} these tests passed; the whole suite was not run:"
            files = [f"- `{name}`" for name in found["files"]]
            lines += [f"## With the {kind} versions together", "", about, "", *files, ""]
    return lines[:-1]


def main(arguments: list[str]) -> int:
    data = json.loads(DATA.read_text(encoding="utf-8"))
    if "--resolve" in arguments:
        data |= {kind: resolved(resolution) for kind, resolution in RESOLUTIONS.items()}
        data["date"] = datetime.date.today().isoformat()
        DATA.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(data), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
