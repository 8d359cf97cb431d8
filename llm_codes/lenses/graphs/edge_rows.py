"""Results of tested edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.result_json import noted
from eval.results import Result, result
from eval.scores import Score


@result
class EdgeTest(Result):
    """One change of one source, watched at one target.

    source, target: layer, position, feature (target: none for the first logit target). size: change in activations of
    the source. length: layers between; same_position: whether both stand at one position. predicted: direct effect of
    the graph. direct, patterns_held, norms_held, both_held, total and total with the same held: measured in the real
    model, see `edge_tests`. predicted_total: over all paths of the graph. null, null_total: measured at another feature
    of the target's layer and position. patched: whether the size is what gives the source its largest activation in
    another prompt.
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
    both_held: float
    total: float
    total_patterns_held: float
    total_norms_held: float
    total_both_held: float
    predicted_total: float
    null: float | None = noted(default=None, when_set=True)
    null_total: float | None = noted(default=None, when_set=True)
    patched: bool = noted(default=False, when_set=True)


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
    "taken out": lambda test: _feature(test) and not test.patched and test.size == -1,
    "doubled": lambda test: _feature(test) and not test.patched and test.size == 1,
    "moved by a tenth": lambda test: _feature(test) and not test.patched and abs(test.size) == 0.1,
    "patched from another prompt": lambda test: _feature(test) and test.patched,
    "at one position": lambda test: _feature(test) and test.same_position,
    "to a later position": lambda test: _feature(test) and not test.same_position,
    "from other layers than 0": lambda test: _feature(test) and test.source[0] > 0,
    "to the first logit": lambda test: test.kind == "logit",
}


def groups_of(tests: Sequence[EdgeTest]) -> dict[str, list[EdgeTest]]:
    """The tests by size of change, place, layer of the source and layers between; groups without tests left out."""
    out = {name: [test for test in tests if chosen(test)] for name, chosen in GROUPS.items()}
    inner = [test for test in tests if _feature(test)]
    for layer in sorted({test.source[0] for test in inner}):
        out[f"from layer {layer}"] = [test for test in inner if test.source[0] == layer]
    for length in sorted({test.length for test in inner}):
        out[f"{length} layer{'s' if length > 1 else ''} up"] = [test for test in inner if test.length == length]
    return {name: some for name, some in out.items() if some}
