"""The sweep end to end in miniature, and the verdicts on planted networks where the answer is known."""

import functools
import json
from contextlib import contextmanager

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.spectra.alpha_interval import CorrectedExponent
from eval.scores import Score
from vision_codes.__main__ import main
from vision_codes.configs.dropout_sweep import DropoutSweepConfig
from vision_codes.lenses.projections.study import projections
from vision_codes.lenses.sweep.claims import Network, claims
from vision_codes.lenses.sweep.collected import collect
from vision_codes.lenses.sweep.seeds import over_seeds, rank_correlation, slope
from vision_codes.lenses.sweep.study import n_jobs

MINIATURE = ["dropout-sweep", "--preset", "small", "--data", "synthetic", "--image-size", "32", "--base-width", "4"]
MINIATURE += ["--fully-connected", "16", "--latent", "4", "--epochs", "1", "--n-images", "70", "--n-validation", "10"]
MINIATURE += ["--dropouts", "0,0.5", "--seeds", "1", "--frames", "60", "--projections", "20", "--threads", "1"]
MINIATURE += ["--n-spectra", "60", "--n-controls", "30"]


def planted(dropout: float, seed: int, as_the_paper_says: bool) -> Network:
    """A network whose numbers follow the paper's statements (or their opposites), with noise over seeds."""
    generator = np.random.default_rng([seed, int(100 * dropout)])
    sign = 1 if as_the_paper_says else -1
    spectra, dot = [], []
    for layer in range(1, 18):
        middle = 6 <= layer <= 13
        alpha = -1 + sign * (0.15 if middle else -0.1) - sign * 0.2 * (dropout - 0.2)
        growth = (0.9 if sign > 0 else 0.4) - sign * 0.02 * layer
        alpha += 0.005 * generator.standard_normal()
        steps = 0.2 + sign * (0.3 if layer > 5 else 0) + sign * 0.2 * dropout
        spectra.append({"layer": layer, "alpha": 0.0, "alpha_corrected": alpha, "largest_step": steps})
        explained = 0.4 + sign * (0.1 * dropout + 0.01 * layer) + 0.002 * generator.standard_normal()
        dot.append(
            {
                "layer": layer,
                "action": np.exp(sign * 5 * alpha),
                "action_per_trace": np.exp(sign * 4 * alpha),
                "refinement_slope": growth,
                "explained_coordinates": explained,
                "explained_pixels": explained / 2,
                "action_explained_rho": -sign * 0.4,
            }
        )
    return Network(dropout, seed, spectra, dot)


def judged(as_the_paper_says: bool, seeds: int = 3):
    return claims([planted(d, s, as_the_paper_says) for d in (0.0, 0.2, 0.4, 0.8) for s in range(seeds)])


def test_every_statement_holds_where_it_was_planted():
    found = judged(True)
    assert len(found) == 17 and {claim.verdict for claim in found} == {"holds"}, [
        c for c in found if c.verdict != "holds"
    ]
    assert all(claim.seeds == 3 and claim.interval is not None for claim in found)


def test_every_directed_statement_fails_where_its_opposite_was_planted():
    verdicts = [claim.verdict for claim in judged(False)]
    assert verdicts.count("fails") == 16 and verdicts.count("holds") == 1  # "near -1" holds in both worlds


def test_just_below_means_the_whole_interval_and_discontinuous_means_near_a_jump():
    """A wide interval around "just below -1" cannot tell; a growth exponent of .4 is no discontinuity."""
    networks = [planted(0.0, seed, True) for seed in range(3)]
    wide = [
        Network(0.0, n.seed, [dict(row, alpha_corrected=-1.25 + 0.2 * (n.seed - 1)) for row in n.spectra], n.dot)
        for n in networks
    ]
    first, *_ = claims(wide)
    assert first.claim == "alpha is just below -1 in the first layers" and first.verdict == "cannot tell"
    assert claims(networks)[0].verdict == "holds"
    smooth = [Network(0.0, n.seed, n.spectra, [dict(row, refinement_slope=0.4) for row in n.dot]) for n in networks]
    by_text = {claim.claim: claim.verdict for claim in claims(smooth)}
    assert by_text["early layers give discontinuous projections"] == "fails"


def test_one_seed_cannot_tell_and_says_why():
    for claim in judged(True, seeds=1):
        assert claim.verdict == "cannot tell" and claim.measured is not None and "one seed" in claim.note


def test_a_seed_without_all_its_dropouts_counts_only_where_one_dropout_is_asked_for():
    networks = [planted(d, s, True) for d in (0.0, 0.2, 0.8) for s in range(2)] + [planted(0.0, 2, True)]
    found = claims(networks)
    assert [claim.seeds for claim in found] == [3] * 8 + [2] * 9  # Fig. 3c, 4 and the depth of 5 are at dropout 0


def test_uncorrected_alpha_is_used_only_where_the_correction_is_undefined():
    network = planted(0.0, 0, True)
    rows = [dict(row, alpha_corrected=None, alpha=-2.0) for row in network.spectra]
    assert Network(0.0, 0, rows, network.dot).of("alpha") == [-2.0] * 17


def test_numbers_over_seeds():
    score = over_seeds([1.0, 2.0, 3.0])
    assert score.value == 2 and score.low == pytest.approx(2 - 4.302653 / np.sqrt(3)) and score.n == 3
    assert over_seeds([None, 5.0]).interval_reason and over_seeds([None]).reason == "undefined in all 1 seeds"
    assert slope([0, 1, 2], [1, None, 5]) == pytest.approx(2) and slope([1, 1], [2, 3]) is None
    assert rank_correlation([1, 2, 3], [9, 4, 1]) == pytest.approx(-1) and rank_correlation([1, 2], [1, 2]) is None
    assert rank_correlation([1, 2, 3], [4, 4, 4]) is None


@contextmanager
def quickly():
    """The sweep without the bias correction (51 sites), with fewer refinements, and without its figures."""
    undefined = CorrectedExponent(Score.undefined("not corrected here"), {})
    fewer = functools.partial(projections, refinements=(20, 40))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vision_codes.lenses.spectra.study.correct_exponent", lambda *_, **__: undefined)
        patch.setattr("vision_codes.lenses.sweep.study.projections", fewer)
        for drawing in ("_draw_filters", "write_page"):
            patch.setattr(f"vision_codes.lenses.sweep.study.{drawing}", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def quick_sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick") / "sweep"
    with quickly():
        assert main([*MINIATURE, "--out", str(folder)]) == 0
    return folder


def test_sweep_end_to_end_and_continued(quick_sweep):
    with quickly():
        check_sweep(quick_sweep)


def test_report_of_a_sweep(quick_sweep, tmp_path, capsys):
    check_report(quick_sweep, tmp_path / "page", capsys)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_sweep_end_to_end_as_it_is(tmp_path, capsys):
    folder = tmp_path / "sweep"
    assert main([*MINIATURE, "--out", str(folder)]) == 0
    check_sweep(folder)
    check_report(folder, tmp_path / "page", capsys)
    assert (folder / "report.html").exists() and list((folder / "figures").glob("eigenfilters_dropout_0.5*"))


def check_sweep(folder):
    results = json.loads((folder / "results.json").read_text())
    assert len(results["claims"]) == 17 and {c["verdict"] for c in results["claims"]} == {"cannot tell"}
    assert len(results["sites"]) == 2 * 17 and len(results["training"]) == 2
    before = {path: path.stat().st_mtime_ns for path in (folder / "items").iterdir()}
    assert main([*MINIATURE, "--out", str(folder)]) == 0  # nothing is computed twice
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "items").iterdir()}
    sweep = collect(folder)
    assert sweep.dropouts == [0.0, 0.5] and len(sweep.untrained_rows("spectra")) == 1
    first, second = (sweep.training[d, 0]["history"][0] for d in (0.0, 0.5))
    assert first["epoch"] == second["epoch"] == 1 and first["training_loss"] != second["training_loss"]


def check_report(folder, out, capsys):
    capsys.readouterr()
    assert main(["report", "--sweep", str(folder), "--out", str(out)]) == 0
    assert "cannot tell" in capsys.readouterr().out and (out / "figures" / "figure_6.pdf").exists()
    page = (out / "report.html").read_text()
    assert "Statements of Marshall" in page and "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("changes", "cores", "expected"),
    [({}, 4, 4), ({"jobs": 2}, 4, 2), ({"device": "cuda"}, 4, 1), ({"jobs": 3, "device": "cuda:1"}, 4, 3)],
)
def test_networks_at_once(changes, cores, expected):
    assert n_jobs(DropoutSweepConfig(out="x", **changes), cores) == expected


def test_bad_sweeps_are_one_line(tmp_path, capsys):
    assert main([*MINIATURE, "--dropouts", "0,1.2", "--out", str(tmp_path / "a")]) == 2
    assert "expected dropout in [0, 1); got 1.2" in capsys.readouterr().err
    assert not (tmp_path / "a" / "models").exists()
    assert main([*MINIATURE, "--jobs", "-1", "--out", str(tmp_path / "c")]) == 2
    assert "expected jobs of at least 0; got -1" in capsys.readouterr().err
    assert main([*MINIATURE, "--seeds", "0", "--out", str(tmp_path / "b")]) == 2
    assert "give at least one of each" in capsys.readouterr().err
    with pytest.raises(UserError, match="holds no analysed network; run the sweep first"):
        collect(tmp_path)
