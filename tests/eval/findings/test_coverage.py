"""The page of panels: every module, verb and claim that it names is there, and no verdict is typed."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path

import pytest

from eval.errors import UserError
from eval.findings.coverage import STATES, PanelClaim, coverage_page, read_coverage, verdict_of, written_coverage
from eval.findings.finding import read_topics

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "docs" / "reference" / "coverage.json"
FOLDER = ROOT / "docs" / "findings"
SOURCES = read_coverage(DATA)
PANELS = [panel for source in SOURCES for panel in source.panels]
TOPICS = read_topics(FOLDER)
FINDINGS = {f"{topic.name}/{finding.name}": finding for topic in TOPICS for finding in topic.findings}


def verbs() -> set[str]:
    names = {}
    for wing in ("llm_codes", "vision_codes", "toy"):
        names[wing] = importlib.import_module(f"{wing}.__main__").COMMANDS
    return {f"{wing} {command.verb}" for wing, commands in names.items() for command in commands}


def test_the_page_is_the_rendering_of_its_data() -> None:
    ((path, text),) = written_coverage(FOLDER, TOPICS).items()
    assert path.read_text(encoding="utf-8") == text, "run `make findings`"


def test_every_module_verb_and_claim_is_there() -> None:
    known = verbs()
    for panel in PANELS:
        assert not panel.module or importlib.util.find_spec(panel.module), panel
        assert not panel.verb or panel.verb in known, panel
        assert all(verdict_of(claim, FINDINGS[claim.finding]) for claim in panel.claims), panel
        assert panel.state in ("missing", "not needed") or (panel.module and panel.verb), panel


def test_every_source_of_the_bibliography_that_is_listed_has_panels() -> None:
    bibliography = (ROOT / "docs" / "reference" / "bibliography.md").read_text(encoding="utf-8")
    assert all(f'<a id="{source.key}"></a>' in bibliography and source.panels for source in SOURCES)
    assert {panel.state for panel in PANELS} <= set(STATES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": "show"}, "unknown state of Fig. 9 'show': did you mean shown"),
        ({"state": "weaker"}, "expected 'Fig. 9' to say why it is weaker, got nothing"),
    ],
)
def test_a_panel_that_hides_what_it_lacks_is_refused(change: dict, words: str, tmp_path: Path) -> None:
    panel = {"panel": "Fig. 9", "what": "alpha", "state": "shown"} | change
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"sources": [{"key": "MK", "title": "A", "panels": [panel]}]}))
    with pytest.raises(UserError, match=words):
        read_coverage(path)


def test_a_claim_that_no_finding_has_is_named() -> None:
    lost = PanelClaim("toy-claims/capacity", "The moon is a code")
    with pytest.raises(UserError, match="expected a row 'The moon is a code' with a verdict in toy-claims/capacity"):
        verdict_of(lost, FINDINGS["toy-claims/capacity"])


def test_verdicts_are_read_from_the_findings() -> None:
    page = coverage_page(SOURCES, TOPICS)
    assert "[Under dropout a neuron carries at most C(1-D) bits](../findings/toy-claims.md#" in page
    assert page.count("**holds**") > 10 and "**fails**" in page
