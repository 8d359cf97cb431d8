"""Names that the options repeat, so that `--help` imports no torch, are those of the code that reads them."""

from __future__ import annotations

from eval.measures.information import ESTIMATORS
from eval.options import Options
from toy.claims import EXPERIMENTS, options_of
from toy.configs import claims, dropout_channel, incidental
from toy.incidental.noise import EXCESS_KURTOSIS


def test_repeated_names_are_equal() -> None:
    assert tuple(ESTIMATORS) == dropout_channel.ESTIMATORS
    assert tuple(EXCESS_KURTOSIS) == incidental.NOISES
    assert tuple(EXPERIMENTS) == claims.NAMES


def test_the_papers_sizes_are_options() -> None:
    for name in claims.NAMES:
        assert isinstance(options_of(name, full=True), Options) and options_of(name, full=True) != options_of(name)
