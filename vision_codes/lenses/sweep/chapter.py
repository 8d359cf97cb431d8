"""Figures 3 to 6 of Marshall & Kirchner on one page, with intervals over seeds and the table of claims."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from eval.claims import claims_rows, tally
from eval.report.page import Page, Section
from eval.runs import Run
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.collected import Sweep
from vision_codes.lenses.sweep.figures import draw


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


def build_page(run: Run, sweep: Sweep, inputs: Sequence[str] = ()) -> Page:
    """The page of a sweep: claims first, then Figures 3 to 6, training last; `inputs`: the images in words."""
    found = claims(sweep.networks)
    trained = sum(network.dropout is not None for network in sweep.networks)
    page = Page("What dropout does to a code", f"ResNet-VAE, {trained} networks, {len(sweep.seeds)} seeds")
    section = page.section("Statements of Marshall & Kirchner")
    section.text(
        f"{len(found)} statements: {tally(found)}. Intervals: Student's t over seeds; the verdict follows from them, "
        "from the untrained networks' and from Holm's correction over all statements."
    )
    for words in inputs:
        section.text(words)
    section.table(claims_rows(found))
    figures = draw(run, sweep)
    page.section("Fig. 3: spectra by depth").figure(figures["figure_3c"])
    for path in sorted((sweep.folder / "figures").glob("eigenfilters_*.png")):
        page.sections[-1].markup(picture(path, f"Fig. 3d: {path.stem.replace('_', ' ')}"))
    section = page.section("Fig. 4: random projections of a moving dot")
    for dropout in sweep.dropouts:
        saved = figures.get(f"figure_4_dropout_{dropout:g}")
        if saved is not None:
            section.figure(saved, f"Fig. 4, dropout {dropout:g}: {saved.caption}")
    section.figure(figures["figure_4d"])
    page.section("Fig. 5: spectra by dropout").figure(figures["figure_5"])
    page.section("Fig. 6: by depth and dropout").figure(figures["figure_6"])
    rows = sweep.training_rows()
    section = page.section("Training").figure(figures["training"]).table([row.to_json() for row in rows])
    rose = [row for row in rows if not row.fell]
    if rose:
        section.warning(f"The validation loss did not fall in {len(rose)} of {len(rows)} runs.")
    _reconstructions(section, sweep)
    return page
