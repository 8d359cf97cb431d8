"""The fingerprint of code follows what is computed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.code_identity import closure, code_identity
from eval.errors import UserError

STUDY = '''"""What it answers."""

from typing import TYPE_CHECKING

from eval.measures.mean import mean

if TYPE_CHECKING:
    from eval.runs import Run

SCALE = 2.0
"""Twice."""


def study(values: list[float]) -> float:
    """Twice the mean."""
    # a comment
    if not values:
        raise UserError("expected values, got none")
    return SCALE * mean(values)
'''
MEAN = "def mean(values):\n    return sum(values) / len(values)\n"
FILES = {
    "llm_codes/study.py": STUDY,
    "llm_codes/figures.py": "import matplotlib\nCOLOUR = 'red'\n",
    "eval/measures/__init__.py": "",
    "eval/measures/mean.py": MEAN,
    "eval/runs.py": "KEEP = 1\n",
    "eval/prompts/__init__.py": "",
    "eval/prompts/ask.txt": "What is it?",
}


def house(folder: Path, **changes: str) -> Path:
    """A project of a few files; `changes` name a file with `__` for `/`, without its suffix."""
    changed = {f"{name.replace('__', '/')}.py": text for name, text in changes.items()}
    for name, text in {**FILES, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def identity(folder: Path, **changes: str) -> str:
    return code_identity(["llm_codes.study"], house(folder, **changes))


@pytest.fixture
def before(tmp_path: Path) -> str:
    return identity(tmp_path / "before")


def same(*replaced: tuple[str, str]) -> str:
    text = STUDY
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    "study",
    [
        same(("# a comment", "# another")),
        same(("Twice the mean.", "The mean, doubled."), ('"""Twice."""\n', "")),
        same(("expected values, got none", "expected values, got none; give some")),
        same((" -> float", ""), ("values: list[float]", "values: 'Sequence[float]'")),
        same(("    from eval.runs import Run", "    from eval.runs import Other")),
        same(("SCALE = 2.0", "__all__ = ['study']\nSCALE = 2.0")),
    ],
)
def test_words_and_annotations_keep_it(before, tmp_path, study):
    assert identity(tmp_path / "after", llm_codes__study=study) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"llm_codes__study": same(("SCALE = 2.0", "SCALE = 2.5"))},
        {"llm_codes__study": same(("SCALE * mean", "SCALE + mean"))},
        {"llm_codes__study": same(("(values: list[float])", "(values: list[float], seed=0)"))},
        {"llm_codes__study": same(("return SCALE", "return None or SCALE"))},
        {"eval__measures__mean": MEAN.replace("len(values)", "(len(values) - 1)")},
    ],
)
def test_a_change_of_what_is_computed_changes_it(before, tmp_path, changes):
    assert identity(tmp_path / "after", **changes) != before


def test_a_change_two_imports_away_changes_it(tmp_path):
    through = {"eval__measures__mean": "def mean(values):\n    from eval.measures.deep import total\n    return total"}
    first = identity(tmp_path / "a", **through, eval__measures__deep="total = sum\n")
    assert identity(tmp_path / "b", **through, eval__measures__deep="total = max\n") != first


def test_drawing_and_carrying_modules_are_left_out(before, tmp_path):
    study = same(("SCALE = 2.0", "from llm_codes import figures\nfrom eval.runs import Run\nSCALE = 2.0"))
    for name, colour in (("a", "red"), ("b", "blue")):
        changes = {
            "llm_codes__study": study,
            "llm_codes__figures": f"COLOUR = {colour!r}",
            "eval__runs": f"A = {colour!r}",
        }
        assert identity(tmp_path / name, **changes) == before


def test_code_that_moves_within_the_closure_keeps_it(before, tmp_path):
    moved = same(("from eval.measures.mean import mean", "from eval.measures.average import mean"))
    folder = house(tmp_path / "moved", llm_codes__study=moved, eval__measures__average=MEAN)
    (folder / "eval/measures/mean.py").unlink()
    assert code_identity(["llm_codes.study"], folder) == before


def test_prompts_beside_a_package_enter(tmp_path):
    study = same(("SCALE = 2.0", "from eval.prompts import ask\nSCALE = 2.0"))
    first = identity(tmp_path / "a", llm_codes__study=study)
    folder = house(tmp_path / "b", llm_codes__study=study)
    (folder / "eval/prompts/ask.txt").write_text("Who is it?")
    assert code_identity(["llm_codes.study"], folder) != first


def test_names_that_are_no_module_are_refused():
    with pytest.raises(UserError, match=r"expected a module of eval, .*, got 'numpy'; use its dotted name"):
        code_identity(["numpy"])
    with pytest.raises(UserError, match="expected at least one module name, got none; name the modules"):
        code_identity([])


def test_a_package_that_computes_nothing_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected modules that compute, got none in eval.measures; name the study"):
        code_identity(["eval.measures"], house(tmp_path))


def test_the_closure_of_a_real_study_holds_its_measures_and_no_figure():
    names = closure(["llm_codes.lenses.spectra.study"])
    assert "eval.measures.spectra.power_law" in names and "llm_codes.models" in names
    assert [name for name in names if "figures" in name or name.startswith(("eval.runs", "eval.report"))] == []
    assert code_identity(names) == code_identity(reversed(names))
