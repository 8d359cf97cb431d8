"""The reference pages agree with the code, and every citation key in the code stands in the bibliography."""

from __future__ import annotations

import json
import re

from tests.reference_pages import ROOT, kind, pages, tutorial_page

BIBLIOGRAPHY = (ROOT / "docs" / "reference" / "bibliography.md").read_text(encoding="utf-8")
KEYS = set(re.findall(r'<a id="([A-Z0-9]+)"></a>', BIBLIOGRAPHY))
SOURCES = [path for wing in ("eval", "llm_codes", "vision_codes", "toy") for path in (ROOT / wing).rglob("*.py")]
CITED = re.compile(r"[\[;] ?([A-Z]{2,5}|B23)(?=[\],;]| (?:Fig|eq|Th|Lem|sec|sup|Meth|pred|foot|phase|search))")
AXES = {"ROWS"}  # sizes in brackets, no works
AUTHORS = re.compile(r"([A-Z][a-z]+)(?: et al\.?| & [A-Z][a-z]+)(?:,? \(?)(\d{4})")


def cited_keys() -> dict[str, str]:
    """Citation keys in brackets, in the docstrings and comments of the packages, with a file that has each."""
    found = {}
    for path in SOURCES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"=|\bfor\b.*\bin\b.*:$", line.split('"')[0]) and '"""' not in line:
                continue  # code, where brackets index
            found |= {key: path.name for key in CITED.findall(line)}
    return found


def test_every_citation_key_resolves():
    cited = cited_keys()
    assert {"MK", "PL", "IP", "FC", "TMS", "B23"} <= set(cited)
    assert {key: name for key, name in cited.items() if key not in KEYS | AXES} == {}, "add it to the bibliography"


def test_every_author_and_year_stands_in_the_bibliography():
    missing = set()
    for path in SOURCES:
        for author, year in AUTHORS.findall(path.read_text(encoding="utf-8")):
            if not re.search(rf"{author}\b[^\n]* {year}", BIBLIOGRAPHY):
                missing.add(f"{author} {year} ({path.name})")
    assert missing == set(), "add the work to docs/reference/bibliography.md"


def test_docstrings_cite_no_document_that_readers_lack():
    assert [path.name for path in SOURCES if "SCIENCE" in path.read_text(encoding="utf-8")] == []


def test_every_public_name_has_its_place_on_a_page():
    written = pages()
    assert "::: llm_codes.lenses.spectra.study.spectra\n" in written["reference/api/llm_codes.md"]
    assert "::: toy.capacity\n" in written["reference/api/toy.md"]
    assert "::: eval.measures.spectra.power_law\n" in written["reference/api/measures.md"]
    assert "| `alpha_corrected` | number or null |" in written["reference/results.md"]


def test_a_schema_is_read_in_words():
    assert kind({"type": "array", "items": {"type": "number"}}) == "list of number"
    assert kind({"anyOf": [{"type": "integer"}, {"type": "null"}]}) == "integer or null"
    assert kind({"type": ["number", "null"]}) == "number or null"


def test_a_tutorial_shows_its_outputs():
    code = {"cell_type": "code", "source": ["1 + 1"]}
    words = {"output_type": "execute_result", "data": {"text/plain": ["2"]}}
    cells = [{"cell_type": "markdown", "source": ["# A title"]}, {**code, "outputs": [words]}]
    assert tutorial_page({"cells": cells}) == "# A title\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n"


def test_every_tutorial_was_executed_without_an_error():
    folder = ROOT / "docs" / "tutorials"
    for path in folder.glob("*.ipynb"):
        cells = [it for it in json.loads(path.read_text(encoding="utf-8"))["cells"] if it["cell_type"] == "code"]
        outputs = [output["output_type"] for cell in cells for output in cell["outputs"]]
        assert outputs and "error" not in outputs, f"{path.name}: run `make tutorials`"
