"""The controls of a connector: its strongest analytic edges and random ones, each refitted on its own edges."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from eval.measures.connectors.connector import Connector
from eval.measures.connectors.fit_options import ConnectorFit
from eval.measures.dictionaries.feature_rows import FeatureRows
from llm_codes.lenses.circuits import evaluation
from llm_codes.lenses.connectors.study import random_support


def test_each_control_is_fitted_on_its_own_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(9, 4, generator=generator)
    analytic = Connector.from_dense(weight * (weight.abs() > 1), torch.zeros(4), "relu")
    trained = Connector.from_dense(weight * (weight.abs() > 0.8), torch.zeros(4), "relu")
    features = FeatureRows.from_dense(torch.rand(30, 9, generator=generator))
    pairs: Any = SimpleNamespace(inputs=features, outputs=features)
    monkeypatch.setattr(evaluation, "analytic_start", lambda *_: (weight, torch.zeros(4)))
    monkeypatch.setattr(evaluation, "refitted", lambda pairs, support, *_, **__: support)
    chain: Any = SimpleNamespace(first=None, second=SimpleNamespace(vectors=None), connector=trained)
    found: Any = evaluation._controls(None, chain, pairs, analytic, ConnectorFit(), 3)  # type: ignore[arg-type]
    assert torch.equal(found["analytic connector, all edges"].dense(), weight)
    assert torch.equal(found["analytic edges, refitted"], weight.abs() > 1)
    chance = found["random edges, refitted"]
    assert torch.equal(chance, random_support(pairs, trained, 3)) and not torch.equal(chance, trained.dense() != 0)
    assert torch.equal(chance.sum(0), trained.starts.diff()) and not torch.equal(chance, weight.abs() > 1)
