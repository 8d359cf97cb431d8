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
    _add_directions(page, results, saved)
    _add_positions(page, results)
    _add_steps(page, results)
    slices = [name for name in ("slice_late", "density_late", "density_whole") if name in saved]
    if slices:
        part = page.section("Slices")
        for name in slices:
            part.figure(saved[name])


def _add_directions(page: Page, results: dict[str, Any], saved: dict[str, SavedFigure]) -> None:
    """NMF directions and channels against the clusters of codes."""
    if not results["directions"]:
        return
    part = page.section("Directions and channels")
    for name in ("cosines", "units"):
        if name in saved:
            part.figure(saved[name])
    keep = ("network", "site", "n_clusters", "overlap", "overlap_ci", "by_chance", "unexplained")
    caption = "Share of NMF directions whose strongest places meet several clusters, minus that of random sets"
    part.table(results["directions"], keep, caption)


def _add_positions(page: Page, results: dict[str, Any]) -> None:
    """One place of every image: clusters, and the flow from site to site."""
    if not results["fixed_position"]:
        return
    part = page.section("One place of every image")
    clusters = [row for one in results["fixed_position"] for row in one["clusters"]]
    part.table([row for row in clusters if row["network"] == "trained"], caption="Clusters of the middle place")
    flow = [row for one in results["fixed_position"] for row in one["flow"]]
    keep = (
        *("network", "first", "second", "in_both", "split", "merged", "split_bits", "merged_bits", "agreement"),
        *("neighbours_kept", "neighbours_kept_ci", "neighbours_by_chance"),
    )
    part.table(flow, keep, "From site to site: clusters that split and merge, nearest five images that stay")


def _add_steps(page: Page, results: dict[str, Any]) -> None:
    """Steps out of a class, and codes set by hand."""
    if results["ways_out"]:
        keep = (
            *("network", "n_images", "n_found", "relative_length", "log2_changes", "log2_changes_ci"),
            *("log2_changes_image", "log2_changes_image_ci", "ridge", "ridge_ci", "ridge_random", "ridge_random_ci"),
        )
        caption = (
            "The smallest step found that changes the class: switches that it changes, over those of a random step and "
            "of one towards another image (log2); ridge: crossings where the class changes over those elsewhere (log2)"
        )
        page.section("Steps out of a class").table(results["ways_out"], keep, caption)
    if results["interventions"]:
        keep = (
            *("cluster", "site", "values", "n_images", "flipped_per_place", "towards", "towards_ci", "towards_random"),
            *("beyond_random", "beyond_random_ci", "class_changed", "class_changed_random", "later_changed"),
        )
        caption = (
            "The code of a cluster set at every place of images without it: gain in log-probability (nats) of what the "
            "network says of the cluster's images, and the same with as many switches moved at random; continued: the "
            "cluster's linear map at the image's own pre-activations, outside the cluster's region; mirrored: with "
            "the pre-activations reflected into that region"
        )
        page.section("Codes set by hand").table(results["interventions"], keep, caption)


def _without_lists(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in ("rows", "units")} for row in rows]


def write_page(run: Run, results: dict[str, Any], art: Artefacts, images: np.ndarray, names: Any) -> str:
    """Figures, CSV tables, page; returns the table for stdout."""
    saved = draw(run, results, art, images, names)
    run.write_text("tables/density.csv", csv_text(results["density"]))
    run.write_text("tables/interpolation.csv", csv_text(results["interpolation"]))
    run.write_text("tables/scaling.csv", csv_text(results["scaling"]))
    run.write_text("tables/patch_clusters.csv", csv_text(results["clusters"]["codes"]["cards"]))
    run.write_text("tables/predictions.csv", csv_text(results["predictions"]))
    for name in ("directions", "ways_out", "interventions"):
        run.write_text(f"tables/{name}.csv", csv_text(_without_lists(results[name])))
    flow = [row for one in results["fixed_position"] for row in one["flow"]]
    run.write_text("tables/flow.csv", csv_text(flow))
    page = Page("Polytopes of an image network", results["provenance"]["model"]["name"])
    add_chapter(page, results, saved)
    page.write(run, provenance=results["provenance"])
    claims = text_table(results["predictions"], ("prediction", "verdict", "number", "ci"))
    density = [row for row in results["density"] if row["network"] == "trained"]
    return f"{text_table(density, ('layer', 'intra', 'inter', 'ratio', 'ratio_ci', 'p'))}\n\n{claims}"
