"""Gates of rankings, and integrated gradients against putting one node back."""

from __future__ import annotations

import torch

from llm_codes.lenses.faithfulness.gates import NEURONS, Nodes, activations, gated_logits
from llm_codes.lenses.faithfulness.prompts import Prompt
from llm_codes.lenses.faithfulness.rankings import gates_of, gradient_scores, strongest
from llm_codes.models import Model
from tests.llm_codes.lenses.graphs.conftest import gpt2_like

__all__ = ["gpt2_like"]


def test_gates_keep_the_highest_scores_and_never_close_the_first_position() -> None:
    scores = torch.arange(2 * 3 * 4, dtype=torch.float32).view(2, 3, 4)
    gates = gates_of(scores, (0.0, 0.25, 1.0))
    assert gates[0].sum() == 2 * 4 and gates[2].min() == 1
    assert gates[1, 1, 2].tolist() == [1, 1, 1, 1] and gates[1, :, 1:].sum() == 4
    assert strongest(scores, 2) == {(1, 0, 3), (1, 0, 2)}


def test_gradients_of_gates_are_the_change_of_the_metric(gpt2_like: Model) -> None:
    """Along the way from everything ablated to the model, the signed gradients sum to the whole change."""
    prompt = Prompt("new word", (0, 17, 45, 300), 9, 12, 0)
    nodes, tokens = Nodes(NEURONS), torch.tensor([prompt.tokens])
    own = activations(gpt2_like, nodes, tokens)[:, 0]
    reference = torch.zeros_like(own[:, :1])
    steps = 64
    levels = (torch.arange(steps, dtype=own.dtype) + 0.5) / steps
    gates = levels[:, None, None, None].expand(steps, *own.shape).clone().requires_grad_()
    logits = gated_logits(gpt2_like, nodes, tokens, gates, reference)
    (slopes,) = torch.autograd.grad((logits[:, 9] - logits[:, 12]).sum(), gates)
    ends = gated_logits(gpt2_like, nodes, tokens, torch.stack([torch.zeros_like(own), torch.ones_like(own)]), reference)
    change = (ends[1] - ends[0])[9] - (ends[1] - ends[0])[12]
    assert abs(float((slopes.mean(0).sum() - change).detach())) < 1e-3 * abs(float(change.detach()))
    found = gradient_scores(gpt2_like, nodes, prompt, reference, steps)
    assert torch.allclose(found, slopes.mean(0).abs())
