"""Figures of the polytope lens for images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from eval.measures.geometry.slices import Slice
from eval.report.figures import COLOURS, STYLE, SavedFigure, drawing, figure, interval_line, save_figure
from eval.runs import Run
from eval.scores import Score
from vision_codes.lenses.polytopes.artefacts import Artefacts
from vision_codes.lenses.polytopes.panel_figures import draw_boundary_density, draw_cosines, draw_units
from vision_codes.lenses.polytopes.patches import Places, patch
from vision_codes.lenses.polytopes.paths import Paths
from vision_codes.lenses.polytopes.rays import SCALES


def draw(run: Run, results: dict[str, Any], art: Artefacts, images: np.ndarray, names: Any) -> dict[str, SavedFigure]:
    """Every figure of the run, saved as PDF and PNG."""
    out = {
        "density": draw_density(run, results["density"], results["network"]["n_images"]),
        "interpolation": draw_interpolation(run, art.interpolations),
        "scaling": draw_scaling(run, results["scaling"]),
    }
    if len(art.hamming):
        out["maps"] = draw_maps(run, art, results["affine_maps"]["rank_correlation"], "affine_maps")
    codes = results["clusters"]["codes"]
    if art.places is not None and codes["cards"]:
        out["patches"] = draw_patches(run, images, art.places, codes, names)
    for name, (found, corners) in art.slices.items():
        out[f"slice_{name}"] = draw_slice(run, found, corners, results["slices"][name], f"slice_{name}")
        out[f"density_{name}"] = draw_boundary_density(run, found, corners, f"density_{name}")
    own = results["directions"][0] if results["directions"] else {"rows": []}
    if art.cosines is not None and own["rows"]:
        out["cosines"] = draw_cosines(run, *art.cosines, own)
        if art.unit_places is not None and own["units"]:
            out["units"] = draw_units(run, images, art.unit_places, own)
    return out


@drawing
def draw_density(run: Run, rows: Sequence[Mapping[str, Any]], n_images: int) -> SavedFigure:
    caption = (
        f"Boundaries per unit distance between images of two classes over those of one class, {n_images} images, for "
        "the input space of each layer; bars: 95% intervals over classes. 1: boundaries know nothing of classes."
    )
    return save_figure(run, density_figure(rows), "density", caption)


@drawing
def draw_interpolation(run: Run, paths: Sequence[Mapping[str, Paths]]) -> SavedFigure:
    caption = "Boundaries crossed on straight lines between the activations of two images; band: standard error."
    return save_figure(run, interpolation_figure(paths), "interpolation", caption)


@drawing
def draw_scaling(run: Run, rows: Sequence[Mapping[str, Any]]) -> SavedFigure:
    caption = "Where boundaries lie along an activation scaled by s. Below: how often the predicted class changes."
    return save_figure(run, scaling_figure(rows), "scaling", caption)


@drawing
def draw_maps(run: Run, art: Artefacts, correlation: float | None, name: str) -> SavedFigure:
    caption = "Pairs of images: how many switches differ, and how far apart their local affine maps are."
    return save_figure(run, map_figure(art.hamming, art.frobenius, correlation or 0.0), name, caption)


@drawing
def draw_patches(run: Run, images: np.ndarray, places: Places, codes: Mapping[str, Any], names: Any) -> SavedFigure:
    order = sorted(codes["cards"], key=lambda card: card["class_entropy_bits"] - card["shuffled_entropy_bits"])
    caption = f"Clusters of channel codes at {codes['site']}, purest against chance first: the image around each place."
    return save_figure(run, patches_figure(images, places, order, names), "patches", caption)


@drawing
def draw_slice(run: Run, found: Slice, corners: np.ndarray, facts: Mapping[str, Any], name: str) -> SavedFigure:
    caption = (
        f"An exact slice through three images from {facts['from'].strip('_')}: {facts['n_regions']} polytopes"
        f"{'' if facts['complete'] else ', partial (cap reached)'}, in a window {facts['window_width']:.3g} wide "
        f"({facts['window_share']:.2g} of the triangle's). Colour: the local affine map; lines: walls by layer."
    )
    return save_figure(run, slice_figure(found, points=corners), name, caption)


def _score(row: Mapping[str, Any], name: str) -> Score:
    value, interval = row[name], row.get(f"{name}_ci")
    if value is None:
        return Score.undefined(row.get(f"{name}_reason") or "undefined")
    low, high = interval if interval else (None, None)
    return Score(value, low, high)


def density_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Inter- over intra-class density by layer: the trained network and its controls."""
    fig, axis = figure(width=7.2, height=3.6)
    networks = list(dict.fromkeys(row["network"] for row in rows))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    for number, network in enumerate(networks):
        mine = [row for row in rows if row["network"] == network]
        x = [layers.index(row["layer"]) + (number - len(networks) / 2) * 0.07 for row in mine]
        trained = network == "trained"
        style = {"linewidth": 2.2} if trained else {"linewidth": 1.0, "linestyle": "--"}
        interval_line(axis, x, [_score(row, "ratio") for row in mine], label=network, colour=COLOURS[number], **style)
    axis.axhline(1, color="#444444", linewidth=0.8)
    axis.set_xticks(range(len(layers)), [name.strip("_") for name in layers], rotation=20, ha="right")
    axis.set_xlabel("layer whose input space is measured (early to late)")
    axis.set_ylabel("density between classes / within")
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


def interpolation_figure(paths: Sequence[Mapping[str, Paths]]) -> Figure:
    """Crossings per unit length along paths between images of one class and of two, one panel per layer."""
    fig, axes = figure(1, len(paths), width=7.2, height=2.7, squeeze=False)
    middles = (np.arange(30) + 0.5) / 30
    for axis, kinds in zip(axes[0], paths, strict=True):
        for number, (kind, path) in enumerate(kinds.items()):
            rate = path.crossings / path.length[:, None] * 30
            mean, error = rate.mean(0), rate.std(0) / max(1, len(rate)) ** 0.5
            axis.plot(
                middles, mean, color=COLOURS[number], label=f"{'same class' if kind == 'intra' else 'two classes'}"
            )
            axis.fill_between(middles, mean - error, mean + error, color=COLOURS[number], alpha=0.2, linewidth=0)
        first = next(iter(kinds.values()))
        axis.set_title(f"{first.layer.strip('_')}\n({first.counting})")
        axis.set_ylim(bottom=0)
        axis.set_xlabel("position between two images")
    axes[0][0].set_ylabel("crossings per unit length")
    axes[0][0].legend()
    return fig


def scaling_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Crossings along s in 0..3, with the rate of class changes below: trained network and controls, by layer."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    fig, axes = figure(2, len(layers), width=7.2, height=4.2, squeeze=False, sharex=True, height_ratios=[2, 1])
    for column, layer in enumerate(layers):
        mine = [row for row in rows if row["layer"] == layer]
        for number, row in enumerate(mine):
            counts = np.asarray(row["crossings"], dtype=float)
            share = counts / counts.sum() if counts.sum() else counts
            width = 2.0 if row["network"] == "trained" else 1.0
            label = row["network"] if counts.sum() else f"{row['network']}: no crossing"
            axes[0][column].stairs(share, SCALES, color=COLOURS[number], linewidth=width, label=label)
            if row["network"] == "trained":
                changes = np.asarray(row["class_change_rate"])
                axes[1][column].bar((SCALES[:-1] + SCALES[1:]) / 2, changes, width=0.085, color=COLOURS[number])
        for axis in axes[:, column]:
            axis.axvline(1, color="#444444", linewidth=0.8)
        axes[0][column].set_title(f"{layer.strip('_')}\n({mine[0]['counting']})")
        axes[1][column].set_xlabel("scale s (1: the image)")
    axes[0][0].set_ylabel("share of crossings")
    axes[1][0].set_ylabel("class changes\n(share of images)")
    axes[0][-1].legend(fontsize=7)
    return fig


def map_figure(hamming: np.ndarray, frobenius: np.ndarray, correlation: float) -> Figure:
    """Code distance against distance of the local affine maps, one dot per image pair."""
    fig, axis = figure(width=3.8, height=3.2)
    axis.plot(hamming, frobenius, ".", markersize=3, alpha=0.5, color=COLOURS[0])
    axis.set_xlabel("Hamming distance of codes")
    axis.set_ylabel("Frobenius distance of affine maps")
    axis.set_title(f"rank correlation {correlation:.2f}")
    return fig


def patches_figure(
    images: np.ndarray, vectors: Places, cards: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Figure:
    """Image patches of the clusters with the purest classes and of the largest, one row each."""
    shown = list(cards)[:10]
    n_columns = 14
    rows = max(1, len(shown))
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(7.2, 0.5 * rows + 0.2), layout="constrained")
        axes = fig.subplots(rows, n_columns, squeeze=False)
    for row, card in zip(axes, shown, strict=False):
        for axis, item in zip(row, list(card["members"])[:n_columns], strict=False):
            axis.imshow(patch(images, vectors, int(item)), interpolation="nearest")
        name = names[card["top_class"]]
        row[0].set_ylabel(
            f"{name}\n{card['top_class_share']:.0%} of {card['size']}", rotation=0, ha="right", va="center"
        )
        row[0].yaxis.label.set_fontsize(7)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(False)
    return fig


def slice_figure(found: Slice, *, size: float = 7.2, points: np.ndarray | None = None) -> Figure:
    """The slice to hang on a wall: each polytope in the colour of its affine map, walls lighter the later their layer.

    Colour: the gradient (in the plane) of the three images' class logits, reduced to three principal components and
    equalised by rank; two polytopes of one colour apply nearly the same map.
    """
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(size, size))
        axis = fig.add_axes((0, 0, 1, 1))
    fig.patch.set_facecolor("#101014")
    colours = map_colours(found.slopes.reshape(len(found.area), -1), found.area)
    axis.add_collection(PolyCollection(found.polygons, facecolors=colours, edgecolors=colours, linewidths=0.2))
    sites = [site for site, cuts in found.boundaries.items() if len(cuts)]
    for number, site in enumerate(sites):
        depth = number / max(1, len(sites) - 1)
        shade = mpl.colormaps["bone"](0.05 + 0.95 * depth)
        lines = LineCollection(
            list(found.boundaries[site].reshape(-1, 2, 2)),
            colors=[(*shade[:3], 0.75 - 0.35 * depth)],
            linewidths=0.9 - 0.65 * depth,
        )
        axis.add_collection(lines)
    low_u, high_u, low_v, high_v = found.plane.extent
    if points is not None:
        inside = points[
            (points[:, 0] > low_u) & (points[:, 0] < high_u) & (points[:, 1] > low_v) & (points[:, 1] < high_v)
        ]
        axis.plot(inside[:, 0], inside[:, 1], "o", markersize=5, markerfacecolor="white", markeredgecolor="black")
    axis.set_xlim(low_u, high_u)
    axis.set_ylim(low_v, high_v)
    axis.set_axis_off()
    return fig


def map_colours(features: np.ndarray, area: np.ndarray) -> np.ndarray:
    """RGB ``[region 3]`` from feature vectors: area-weighted principal components, each equalised by rank."""
    weight = area / area.sum()
    centred = features - weight @ features
    scale = np.sqrt(weight @ centred**2) + 1e-300
    centred = centred / scale
    _, vectors = np.linalg.eigh((centred * weight[:, None]).T @ centred)
    components = centred @ vectors[:, ::-1][:, :3]
    components = np.pad(components, ((0, 0), (0, max(0, 3 - components.shape[1]))))
    ranks = np.empty_like(components)
    for k in range(3):
        order = np.argsort(components[:, k], kind="stable")
        ranks[order, k] = np.cumsum(weight[order])
    hue = ranks[:, 0]
    saturation, value = 0.25 + 0.55 * ranks[:, 1], 0.35 + 0.6 * ranks[:, 2]
    palette = mpl.colormaps["twilight_shifted"](0.12 + 0.76 * hue)[:, :3]
    grey = palette.mean(1, keepdims=True)
    return np.clip((grey + (palette - grey) * (0.6 + saturation[:, None])) * (0.45 + 0.75 * value[:, None]), 0, 1)
