"""Figures 3 to 6 of Marshall & Kirchner on one page, with intervals over seeds and the table of claims."""

from __future__ import annotations

import base64
from pathlib import Path

from markupsafe import Markup

from eval.claims import claims_rows
from eval.report.figures import SavedFigure
from eval.report.page import Page, Section
from eval.runs import Run
from vision_codes.lenses.sweep import figures as sweep_figures
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.collected import Sweep, collect


def picture(path: Path, caption: str) -> Markup:
    """A PNG file as a figure with its data inlined."""
    data = base64.b64encode(path.read_bytes()).decode()
    template = '<figure><img style="width:100%;max-width:640px;image-rendering:pixelated" alt="{0}" src="{1}">'
    return Markup(template + "<figcaption>{0}</figcaption></figure>").format(
        caption, Markup(f"data:image/png;base64,{data}")
    )


def _reconstructions(section: Section, sweep: Sweep) -> None:
    section.text("Rows: held-out images, their reconstructions, samples from the prior (seed 0, last epoch).")
    for dropout in sweep.dropouts:
        folder = sweep.folder / "models" / f"dropout={dropout:g},seed={sweep.seeds[0]}" / "figures"
        drawn = sorted(folder.glob("epoch_*.png"))
        if drawn:
            section.markup(picture(drawn[-1], f"dropout {dropout:g}"))


def build_page(run: Run, sweep: Sweep) -> Page:
    """The page of a sweep: claims first, then Figures 3 to 6, training last."""
    found = claims(sweep.networks)
    counts = {verdict: sum(c.verdict == verdict for c in found) for verdict in ("holds", "fails", "cannot tell")}
    page = Page("What dropout does to a code", f"ResNet-VAE, {len(sweep.networks)} networks, {len(sweep.seeds)} seeds")
    section = page.section("Statements of Marshall & Kirchner")
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    section.text(
        f"{len(found)} statements: {summary}. Intervals are Student's t over seeds; the verdict follows from them."
    )
    section.table(claims_rows(found))
    page.section("Fig. 3: spectra by depth").figure(sweep_figures.alpha_by_depth(run, sweep))
    for path in sorted((sweep.folder / "figures").glob("eigenfilters_*.png")):
        page.sections[-1].markup(picture(path, f"Fig. 3d: {path.stem.replace('_', ' ')}"))
    section = page.section("Fig. 4: random projections of a moving dot")
    for dropout in sweep.dropouts:
        saved: SavedFigure | None = sweep_figures.trajectories(run, sweep, dropout)
        if saved is not None:
            section.figure(saved, f"Fig. 4, dropout {dropout:g}: {saved.caption}")
    section.figure(sweep_figures.scatter(run, sweep))
    page.section("Fig. 5: spectra by dropout").figure(sweep_figures.spectra_by_dropout(run, sweep))
    page.section("Fig. 6: by depth and dropout").figure(sweep_figures.dropout_by_depth(run, sweep))
    section = page.section("Training")
    section.figure(sweep_figures.training_curves(run, sweep)).table(sweep.training_rows())
    rose = [row for row in sweep.training_rows() if not row["fell"]]
    if rose:
        section.warning(f"The validation loss did not fall in {len(rose)} of {len(sweep.training)} runs.")
    _reconstructions(section, sweep)
    return page


def write_page(run: Run, folder: str | Path) -> Path:
    """Write ``report.html`` of the sweep in ``folder`` into the run."""
    return build_page(run, collect(folder)).write(run)
