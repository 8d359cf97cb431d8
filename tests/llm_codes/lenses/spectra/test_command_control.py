"""The spectra of the untrained control are those of fresh weights, not of the model that it controls."""

from __future__ import annotations

from pathlib import Path

from eval.claims import controls_text
from eval.report.page import Page
from eval.runs import Run
from llm_codes.configs.inputs import InputsOptions, WindowsOptions
from llm_codes.configs.spectra import SpectraOptions
from llm_codes.inputs import open_inputs
from llm_codes.lenses.spectra.chapter import add_chapter
from llm_codes.lenses.spectra.command import chapter, results_of
from llm_codes.lenses.spectra.figures import draw
from llm_codes.lenses.spectra.study import spectra
from llm_codes.models import untrained_like


def test_the_control_is_measured_on_the_same_text_with_fresh_weights(
    tiny_model_folder: Path, text_folder: Path, tmp_path: Path
) -> None:
    inputs = open_inputs(InputsOptions(model=str(tiny_model_folder), corpus=str(text_folder)), seed=3)
    corpus = inputs.view(WindowsOptions(context=32, tokens=2000))
    trained, control = chapter(SpectraOptions(), inputs, corpus, Run(tmp_path), control=True)
    assert control is not None
    fresh = spectra(untrained_like(inputs.model, 3), corpus, SpectraOptions(), seed=3)
    shares = [[row.top_direction_share for row in found.sites] for found in (control, fresh, trained)]
    assert shares[0] == shares[1] != shares[2]
    assert chapter(SpectraOptions(), inputs, corpus, Run(tmp_path), control=False)[1] is None


def test_the_page_shows_the_statement_as_the_results_hold_it(
    tiny_model_folder: Path, text_folder: Path, tmp_path: Path
) -> None:
    """The page once judged it anew, without the control."""
    inputs = open_inputs(InputsOptions(model=str(tiny_model_folder), corpus=str(text_folder)), seed=3)
    corpus, run = inputs.view(WindowsOptions(context=32, tokens=6000)), Run(tmp_path)
    trained, control = chapter(SpectraOptions(), inputs, corpus, run, control=True)
    page = Page("spectra", "")
    add_chapter(page, trained, control, draw(run, trained, control), positions="")
    page.write(run)
    (claim,) = results_of(trained, control).claims
    assert claim.controls
    shown = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert controls_text(claim.controls) in shown and "no control was measured" not in shown
