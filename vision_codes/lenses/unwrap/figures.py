"""Figures of the MNIST experiment: connector matrices through training, and what features look like."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from eval.measures.dictionaries.dictionary import encode_rows
from eval.report.figures import SavedFigure, drawing, figure, save_figure
from eval.runs import Run
from vision_codes.lenses.unwrap.study import Unwrapped

N_SHOWN = 8


def draw(run: Run, unwrapped: Unwrapped) -> dict[str, SavedFigure]:
    """Every figure of one seed."""
    return {"matrices": draw_matrices(run, unwrapped), "features": draw_features(run, unwrapped)}


@drawing
def draw_matrices(run: Run, unwrapped: Unwrapped) -> SavedFigure:
    """The first connector's weights (96 x 96 corner) after each eighth of its training."""
    shown = unwrapped.snapshots[:8]
    fig, axes = figure(2, 4, width=7.0, height=3.9)
    limit = max(float(np.quantile(np.abs(shown[-1]), 0.995)), 1e-6)
    for number, axis in enumerate(np.ravel(axes)):
        axis.set_axis_off()
        if number < len(shown):
            axis.imshow(shown[number], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
            axis.set_title(f"{number + 1}/{len(shown)}: {np.mean(shown[number] != 0):.0%} non-zero", fontsize=8)
    text = (
        "First connector (input features down, output features across) through training; edges are chosen on the way."
    )
    return save_figure(run, fig, "connector-matrices", text)


@drawing
def draw_features(run: Run, unwrapped: Unwrapped) -> SavedFigure:
    """Eight features of the last layer: strongest test images, mean stimulus, activation maximisation."""
    digits, network, dictionary = unwrapped.digits, unwrapped.network, unwrapped.dictionaries[2]
    rows = encode_rows(dictionary, network.hidden(digits.test)[2])
    order = rows.density().argsort(descending=True)
    live = [int(f) for f in order if 0.01 < float(rows.density()[f]) < 0.25][:N_SHOWN]
    fig, axes = figure(N_SHOWN, 8, width=7.0, height=7.2)
    for axis in np.ravel(axes):
        axis.set_axis_off()
    for line, feature in enumerate(live):
        value = rows.column(feature)
        pictures = [digits.test[i] for i in value.topk(6).indices]
        pictures.append((value[:, None] * digits.test).sum(0) / value.sum())
        pictures.append(maximise(unwrapped, feature))
        for column, picture in enumerate(pictures):
            axes[line, column].imshow(picture.view(digits.side, digits.side), cmap="gray_r")
        axes[line, 0].set_title(f"F3_{feature}", fontsize=7, loc="left")
    axes[0, 6].set_title("mean stimulus", fontsize=7)
    axes[0, 7].set_title("maximisation", fontsize=7)
    text = "Features of the third hidden layer: six strongest test images, activation-weighted mean, gradient ascent."
    return save_figure(run, fig, "features", text)


def maximise(unwrapped: Unwrapped, feature: int, steps: int = 60) -> Tensor:
    """An image that drives a feature: gradient ascent on its pre-activation with a small L2 penalty, from grey."""
    network, dictionary, digits = unwrapped.network, unwrapped.dictionaries[2], unwrapped.digits
    image = torch.zeros(1, digits.test.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([image], lr=0.05)
    with torch.enable_grad():
        for _ in range(steps):
            drive = (network.hidden(image)[2] - dictionary.input_bias) @ dictionary.encoder[feature]
            loss = -drive.sum() + 0.02 * image.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return image.detach()[0]
