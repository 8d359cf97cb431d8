"""A figure never ends a run: empty panels with their reason."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from matplotlib.figure import Figure

from eval.errors import UserError
from eval.report.figures import SavedFigure, drawing, drawn, figure, save_figure
from eval.report.undrawn import NOTHING_POSITIVE, empty_panel, panel
from eval.runs import Run


def test_a_panel_without_positive_values_is_left_empty_and_the_other_is_drawn(tmp_path, capsys):
    fig, (left, right) = figure(1, 2)
    left.set_title("loss")
    left.plot([1, 2], [0.0, 0.0])
    left.set_yscale("log")
    right.plot([1, 2], [1.0, 10.0])
    right.set_yscale("log")
    saved = save_figure(Run(tmp_path), fig, "losses", "caption")
    assert f"not drawn: {NOTHING_POSITIVE}" in saved.markup
    assert "loss" in saved.markup
    assert all(path.exists() for path in saved.paths)
    assert right.get_yscale() == "log"
    assert f"warning: figure losses: a panel was left empty: {NOTHING_POSITIVE}" in capsys.readouterr().err


@pytest.mark.parametrize("values", [[np.nan, np.nan], [-1.0, 0.0]])
def test_scattered_points_without_a_logarithm(tmp_path, values):
    fig, axis = figure()
    axis.scatter(values, [1, 2])
    axis.set_xscale("log")
    assert NOTHING_POSITIVE in save_figure(Run(tmp_path), fig, "f").markup


def test_a_mesh_or_a_band_on_logarithmic_axes_is_drawn(tmp_path, capsys):
    """Their offsets are (0, 0) whatever they show."""
    fig, (left, right) = figure(1, 2)
    left.pcolormesh([1.0, 10.0], [1.0, 10.0], [[1, 2], [3, 4]], shading="nearest")
    right.fill_between([1.0, 10.0], [1.0, 2.0], [2.0, 3.0])
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_yscale("log")
    assert "not drawn" not in save_figure(Run(tmp_path), fig, "f").markup
    assert "left empty" not in capsys.readouterr().err


def test_an_axis_that_raises_when_it_is_drawn_is_left_empty(tmp_path, monkeypatch):
    fig, (left, right) = figure(1, 2)
    line = left.plot([1, 2], [1, 2])[0]
    right.plot([1, 2], [1, 2])
    monkeypatch.setattr(line, "draw", lambda renderer: 1 / 0)
    markup = save_figure(Run(tmp_path), fig, "f").markup
    assert markup.count("not drawn: ZeroDivisionError: division by zero") == 1


def test_a_figure_of_which_nothing_can_be_saved_is_empty(tmp_path, monkeypatch):
    fig, _ = figure()
    monkeypatch.setattr(fig, "savefig", lambda *a, **k: 1 / 0)
    assert "not drawn: ZeroDivisionError" in save_figure(Run(tmp_path), fig, "f").markup


def test_one_panel_fails_and_the_others_go_on():
    _, (left, right) = figure(1, 2)
    with panel(left):
        raise ValueError("shapes (3,) and (4,) do not fit")
    with panel(right):
        right.plot([1], [1])
    assert left.texts[0].get_text() == "not drawn: shapes (3,) and (4,) do not fit"
    assert not right.texts


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), UserError("a, b, c"), MemoryError()])
def test_what_is_not_about_the_figure_goes_on(tmp_path, monkeypatch, error):
    fig, axis = figure()

    def fail(*arguments, **options):
        raise error

    with pytest.raises(type(error)), panel(axis):
        fail()
    monkeypatch.setattr(fig, "savefig", fail)
    with pytest.raises(type(error)):
        save_figure(Run(tmp_path), fig, "f")


def test_drawing_that_raises_gives_empty_figures_by_any_name(tmp_path):
    def draw(run, rows):
        return {"alpha": rows[3]}

    figures = drawn(draw, Run(tmp_path), [])
    assert "not drawn: IndexError: list index out of range" in figures["alpha"].markup
    assert drawn(lambda run: {"a": 1}, Run(tmp_path)) == {"a": 1}


def test_an_empty_panel_keeps_its_title():
    _, axis = figure()
    axis.set_title("density")
    empty_panel(axis, "none")
    assert axis.get_title() == "density"


def test_a_drawing_that_raises_is_an_empty_figure_of_its_name(tmp_path, capsys):
    @drawing
    def draw_by_depth(run: Run, rows: list[float]) -> SavedFigure:
        fig, axis = figure()
        axis.plot(rows, [1, 2])
        return save_figure(run, fig, "alpha-by-depth")

    assert "not drawn" not in draw_by_depth(Run(tmp_path), [1.0, 2.0]).markup
    empty = draw_by_depth(Run(tmp_path), [1.0])
    assert empty.name == "by-depth" and "not drawn: x and y must have same first dimension" in empty.markup
    assert "warning: figure by-depth was left empty" in capsys.readouterr().err


def test_a_figure_made_without_a_canvas_is_drawn(tmp_path, capsys):
    """A bare `Figure` has a canvas that cannot render; its panels were left empty for it."""
    fig = Figure()
    fig.subplots().plot([1, 2], [3, 4])
    assert "<svg" in save_figure(Run(tmp_path), fig, "bare").markup
    assert capsys.readouterr().err == ""
