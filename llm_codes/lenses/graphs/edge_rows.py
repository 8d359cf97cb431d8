"""Results of tested edges."""

from __future__ import annotations

from collections.abc import Callable

from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score


@result
class EdgeTest(Result):
    """One change of one source, watched at one target.

    source, target: layer, position, feature (target: none for the first logit target). size: change in activations of
    the source. length: layers between; same_position: whether both stand at one position. predicted: direct effect of
    the graph. direct, patterns_held, norms_held, total: measured in the real model, see `edge_tests`. predicted_total:
    over all paths of the graph. null, null_total: measured at another feature of the target's layer and position.
    """

    prompt: int
    source: tuple[int, ...]
    target: tuple[int, ...] | None
    kind: str
    size: float
    length: int
    same_position: bool
    predicted: float
    direct: float
    patterns_held: float
    norms_held: float
    total: float
    predicted_total: float
    null: float | None = noted(default=None, when_set=True)
    null_total: float | None = noted(default=None, when_set=True)


@result
class EdgeAgreement(Result):
    """Predicted against measured in one group of tests, intervals over prompts (`eval.measures.graphs.agreement`)."""

    group: str
    measured: str
    tests: int
    sign: Score
    rank: Score
    r2: Score
    slope: Score


@result
class EdgeTests(Result):
    """Every test, and how well the graph foretold them, by group."""

    table = "agreement"
    columns = ("group", "measured", "tests", "sign", "rank", "r2", "slope")

    prompts: int
    n_tests: int
    agreement: tuple[EdgeAgreement, ...]
    tests: tuple[EdgeTest, ...] = ()


def _feature(test: EdgeTest) -> bool:
    return test.kind == "feature"


GROUPS: dict[str, Callable[[EdgeTest], bool]] = {
    "edges between features": _feature,
    "taken out": lambda test: _feature(test) and test.size == -1,
    "doubled": lambda test: _feature(test) and test.size == 1,
    "moved by a tenth": lambda test: _feature(test) and abs(test.size) == 0.1,
    "one layer up": lambda test: _feature(test) and test.length == 1,
    "two layers or more": lambda test: _feature(test) and test.length > 1,
    "at one position": lambda test: _feature(test) and test.same_position,
    "to a later position": lambda test: _feature(test) and not test.same_position,
    "from layer 0": lambda test: _feature(test) and test.source[0] == 0,
    "from other layers": lambda test: _feature(test) and test.source[0] > 0,
    "to the first logit": lambda test: test.kind == "logit",
}
