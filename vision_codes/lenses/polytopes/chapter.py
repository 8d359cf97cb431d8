"""The page, the figures and the tables of a `polytopes` run."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.claims import Claim, claims_rows
from eval.report.figures import SavedFigure
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.result_json import from_json
from eval.runs import Run
from vision_codes.lenses.polytopes.artefacts import Artefacts
from vision_codes.lenses.polytopes.figures import draw

KEPT = ("network", "layer", "intra", "inter", "ratio", "ratio_ci", "p")


def add_chapter(page: Page, results: dict[str, Any], saved: dict[str, SavedFigure]) -> None:
    """The chapter on polytopes, for this page and for the wing's report."""
    claims = [from_json(Claim, row) for row in results["claims"]]
    top = page.section("Polytopes")
    network = results["network"]
    top.text(
        f"{network['n_units']:,} switches at {network['n_sites']} sites, images of {network['image_size']} pixels. A "
        "code says which switches are on; images with one code lie in one polytope, on which the network is affine."
    )
    top.table(claims_rows(claims), caption="What the paper predicts and what was measured")
    if "slice_whole" in saved:
        top.figure(saved["slice_whole"])
    part = page.section("Density by layer")
    part.figure(saved["density"]).table(results["density"], KEPT, "Boundaries per unit distance (code differences)")
    paths = page.section("Along straight paths")
    paths.figure(saved["interpolation"]).figure(saved["scaling"])
    if any(row["crossings_per_path"] == 0 for row in results["scaling"]):
        paths.warning("A network without biases is homogeneous: no crossing at all on a ray, whatever it has learnt.")
    keep = ("layer", "pairs", "counting", "n_paths", "density", "density_se", "class_changes")
    paths.table(results["interpolation"], keep, "Between images")
    keep = (
        *("network", "layer", "counting", "n_samples", "shape", "peak_location", "peak_location_ci"),
        *("prominence", "prominence_ci", "prominence_half_samples", "crossings_per_path"),
    )
    paths.table(results["scaling"], keep, "Scaling: where density is highest (s = 1: the image) and by how much (log2)")
    reached = [
        {"layer": row["layer"], "class": one["name"], "rays": one["images"], "of": row["n_images"]}
        for row in results["scaling"] if row["network"] == "trained" for one in row["classes_beyond"]
    ]  # fmt: skip
    if reached:
        paths.table(reached, caption="Classes predicted beyond the activation and not at it")
    paths.table(
        results["noise"], caption="Real activations against Gaussian noise of the same mean, covariance and norm"
    )
    if "maps" in saved:
        page.section("Local affine maps").figure(saved["maps"])
    clusters = page.section("Clusters of channel vectors")
    found, found_by_site = results["clusters"]["codes"], results["clusters"]["by_site"]
    clusters.text(
        f"{found['n_vectors']} places at {found['site']}: {found['n_clusters']} clusters, {found['noise_share']:.0%} "
        f"in none; {found['below_null']} have fewer classes than shuffled labels give (5% false discovery)."
    )
    if found["reason"]:
        clusters.warning(found["reason"])
    clusters.table(found_by_site, caption="Every site measured, deepest first")
    if "patches" in saved:
        clusters.figure(saved["patches"])
    if "slice_late" in saved:
        page.section("Slices").figure(saved["slice_late"])


def write_page(run: Run, results: dict[str, Any], art: Artefacts, images: np.ndarray, names: Any) -> str:
    """Figures, CSV tables, page; returns the table for stdout."""
    saved = draw(run, results, art, images, names)
    run.write_text("tables/density.csv", csv_text(results["density"]))
    run.write_text("tables/interpolation.csv", csv_text(results["interpolation"]))
    run.write_text("tables/scaling.csv", csv_text(results["scaling"]))
    run.write_text("tables/patch_clusters.csv", csv_text(results["clusters"]["codes"]["cards"]))
    run.write_text("tables/predictions.csv", csv_text(results["predictions"]))
    page = Page("Polytopes of an image network", results["provenance"]["model"]["name"])
    add_chapter(page, results, saved)
    page.write(run, provenance=results["provenance"])
    claims = text_table(results["predictions"], ("prediction", "verdict", "number", "ci"))
    density = [row for row in results["density"] if row["network"] == "trained"]
    return f"{text_table(density, ('layer', 'intra', 'inter', 'ratio', 'ratio_ci', 'p'))}\n\n{claims}"
