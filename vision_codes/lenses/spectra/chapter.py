"""The pages of the spectra and of the eigenfilters, written from the results and the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.report.page import Page
from eval.report.tables import csv_text
from eval.runs import Run
from vision_codes.inputs import Inputs
from vision_codes.lenses.spectra.eigenfilters import Eigenfilters
from vision_codes.lenses.spectra.figures import draw, draw_filters
from vision_codes.lenses.spectra.results import COLUMNS, SiteFilters, Spectra


def reasons_text(reasons: Mapping[str, Sequence[str]]) -> str:
    """Why numbers are undefined, for below a table: each reason once, with the sites it holds for; empty for none."""
    places: dict[str, list[str]] = {}
    for site, found in reasons.items():
        for reason in found:
            places.setdefault(reason, []).append(site)
    lines = [f"undefined at {_names(sites)}: {reason}" for reason, sites in places.items()]
    return "\n\n" + "\n".join(lines) if lines else ""


def _names(sites: Sequence[str]) -> str:
    return ", ".join(sites) if len(sites) <= 3 else f"{len(sites)} sites"


def write_spectra_page(
    run: Run, found: Spectra, inputs: Inputs, model: str, thin: Sequence[str], provenance: Mapping[str, Any]
) -> None:
    """`report.html` of a spectra run."""
    page = Page("Eigenspectra by depth", f"{len(inputs.found)} images, {len(found.sites)} ReLU sites of {model}")
    section = page.section("Power-law exponent").text(inputs.describe())
    section.figure(draw(run, found)["spectra"])
    if thin:
        section.warning(f"Fewer than 4 images per unit at {len(thin)} sites: read alpha_corrected there, not alpha.")
    for line in reasons_text({row.site: row.reasons() for row in found.sites}).split("\n"):
        if line:
            section.warning(line)
    section.table(found.rows(), COLUMNS)
    page.write(run, provenance=dict(provenance))


def write_filters_page(
    run: Run,
    found: Sequence[Eigenfilters],
    rows: Sequence[SiteFilters],
    inputs: Inputs,
    model: str,
    provenance: Mapping[str, Any],
) -> None:
    """`report.html` and the table of an eigenfilters run."""
    plain = [row.to_json() for row in rows]
    run.write_text("tables/eigenfilters.csv", csv_text(plain))
    title = f"{len(inputs.found)} images, {len(found)} sites of {model}"
    page = Page("What the leading directions look like", title)
    section = page.section("Eigenvectors by depth").text(inputs.describe())
    for line in reasons_text({row.site: [row.reason] if row.reason else [] for row in rows}).split("\n"):
        if line:
            section.warning(line)
    section.figure(draw_filters(run, found)["eigenfilters"]).table(plain)
    page.write(run, provenance=dict(provenance))
