"""Codes with planted clusters, for the tests of flow and neurons."""

from __future__ import annotations

import numpy as np

from eval.measures.codes.code_map import CodeMap, CodePart
from eval.measures.codes.polytope import SplineCodes

CLUSTERING = {"min_cluster_size": 8, "min_samples": 5, "method": "leaf"}


def planted(groups: np.ndarray, seed: int) -> SplineCodes:
    generator = np.random.default_rng(seed)
    centres = generator.random((int(groups.max()) + 1, 200)) < 0.5
    bits = centres[groups] ^ (generator.random((len(groups), 200)) < 0.02)
    code_map = CodeMap((CodePart("a", "relu", (200,)),), "x", "planted")
    return SplineCodes.hard(code_map, {"a": np.where(bits, 1.0, -1.0)})
