"""The sweep end to end in miniature, and the verdicts on planted networks where the answer is known."""

import functools
import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from eval.errors import UserError
from eval.measures.spectra.alpha_interval import CorrectedExponent
from eval.scores import Score
from vision_codes.__main__ import main
from vision_codes.configs.dropout_sweep import DropoutSweepConfig
from vision_codes.lenses.projections.results import SiteProjections
from vision_codes.lenses.projections.study import projections
from vision_codes.lenses.spectra.results import SiteSpectrum
from vision_codes.lenses.sweep.claims import claims
from vision_codes.lenses.sweep.collected import collect
from vision_codes.lenses.sweep.networks import Network
from vision_codes.lenses.sweep.seeds import over_seeds, rank_correlation, slope
from vision_codes.lenses.sweep.study import n_jobs

MINIATURE = ["dropout-sweep", "--preset", "small", "--data", "synthetic", "--image-size", "32", "--base-width", "4"]
MINIATURE += ["--fully-connected", "16", "--latent", "4", "--epochs", "1", "--n-images", "70", "--n-validation", "10"]
MINIATURE += ["--dropouts", "0,0.5", "--seeds", "1", "--frames", "60", "--projections", "20", "--threads", "1"]
MINIATURE += ["--n-spectra", "60", "--n-controls", "30"]


def spectrum_row(layer: int, alpha: float, corrected: float, step: float) -> SiteSpectrum:
    scores = {"alpha": Score(alpha), "alpha_corrected": Score(corrected)}
    return SiteSpectrum("a", layer, "planted", 8, 100, 12.5, None, None, None, **scores, largest_step=step)


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
        spectra.append(spectrum_row(layer, 0.0, alpha, steps))
        explained = 0.4 + sign * (0.1 * dropout + 0.01 * layer) + 0.002 * generator.standard_normal()
        dot.append(
            SiteProjections(
                "a",
                layer,
                8,
                Score(float(np.exp(sign * 5 * alpha))),
                action_per_trace=float(np.exp(sign * 4 * alpha)),
                refinement_slope=growth,
                explained_coordinates=explained,
                explained_pixels=explained / 2,
                action_explained_rho=-sign * 0.4,
            )
        )
    return Network(dropout, seed, spectra, dot)


def untrained(seed: int) -> Network:
    """An untrained network that shows nothing of what the paper says: steep spectra, the same at every site."""
    rows = [spectrum_row(layer, 0.0, -1.0, 0.1) for layer in range(1, 18)]
    rows = [replace(row, alpha_corrected=Score(-1.0 + (-0.9 if row.layer < 14 else 0.5))) for row in rows]
    flat = {"refinement_slope": 0.3, "explained_coordinates": 0.4, "explained_pixels": 0.2, "action_explained_rho": 0.1}
    dot = [
        replace(row, **flat, action=Score(1.0 + row.layer % 7), action_per_trace=1.0 + row.layer % 7)
        for row in planted(0.0, seed, True).dot
    ]
    return Network(None, seed, rows, dot)


def judged(as_the_paper_says: bool, seeds: int = 3):
    trained = [planted(d, s, as_the_paper_says) for d in (0.0, 0.2, 0.4, 0.8) for s in range(seeds)]
    return claims(trained + [untrained(s) for s in range(seeds)])


def test_statements_on_one_dropout_need_the_untrained_networks():
    found = claims([planted(d, s, True) for d in (0.0, 0.2, 0.4, 0.8) for s in range(3)])
    verdicts = [claim.verdict for claim in found]
    assert verdicts.count("holds") == 5 and verdicts.count("cannot tell") == 12  # those on dropout itself have others
    copies = [replace(planted(0.0, s, True), dropout=None) for s in range(3)]
    shared = claims([planted(d, s, True) for d in (0.0, 0.2, 0.4, 0.8) for s in range(3)] + copies)
    assert "holds, and so does its control" in [claim.verdict for claim in shared]
    assert [claim.verdict for claim in shared].count("holds") == 5


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
        Network(
            0.0, n.seed, [replace(row, alpha_corrected=Score(-1.25 + 0.2 * (n.seed - 1))) for row in n.spectra], n.dot
        )
        for n in networks
    ]
    first, *_ = claims(wide)
    assert first.claim == "alpha is just below -1 in the first layers" and first.verdict == "cannot tell"
    assert claims(networks + [untrained(seed) for seed in range(3)])[0].verdict == "holds"
    smooth = [Network(0.0, n.seed, n.spectra, [replace(row, refinement_slope=0.4) for row in n.dot]) for n in networks]
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
    rows = [replace(row, alpha_corrected=None, alpha=Score(-2.0)) for row in network.spectra]
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
        for drawing in ("draw_filters", "write_page"):
            patch.setattr(f"vision_codes.lenses.sweep.command.{drawing}", lambda *_: {})
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
    assert sweep.dropouts == [0.0, 0.5] and len(sweep.untrained()) == 1
    first, second = (sweep.training[d, 0].history[0] for d in (0.0, 0.5))
    assert first.epoch == second.epoch == 1 and first.training_loss != second.training_loss


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
    assert "expected --dropouts a number of at least 0 and below 1; got 1.2" in capsys.readouterr().err
    assert not (tmp_path / "a" / "models").exists()
    assert main([*MINIATURE, "--jobs", "-1", "--out", str(tmp_path / "c")]) == 2
    assert "expected --jobs a whole number of at least 0; got -1" in capsys.readouterr().err
    assert main([*MINIATURE, "--seeds", "0", "--out", str(tmp_path / "b")]) == 2
    assert "expected --seeds a whole number of at least 1; got 0" in capsys.readouterr().err
    with pytest.raises(UserError, match="holds no analysed network; run the sweep first"):
        collect(tmp_path)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--projections", "5"], "expected --projections a whole number of at least 10; got 5"),
        (["--max-units", "-1"], "expected --max-units a whole number of at least 1; got -1"),
        (["--image-size", "-1"], "expected --image-size a whole number of at least 0 and at most 4096; got -1"),
        (["--image-size", "20"], "expected --image-size of at least 32 (0: the preset's); got 20"),
        (["--dropouts", ","], "expected at least one value for --dropouts"),
        (["--latent", "1e12"], "expected at most 8 GB of weights and optimiser"),
        (["--workers", "-1"], "expected --workers a whole number of at least 0; got -1"),
    ],
)
def test_impossible_sweeps_are_refused_before_any_work(tmp_path, capsys, flags, text):
    assert main([*MINIATURE, *flags, "--out", str(tmp_path / "run")]) == 2
    assert text in capsys.readouterr().err and not (tmp_path / "run").exists()


def folder_of_images(path, seed):
    generator = np.random.default_rng(seed)
    for split, count in (("train", 30), ("val", 8)):
        for name in ("a", "b"):
            (path / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / split / name / f"{number}.png")


def test_a_sweep_continued_on_replaced_images_computes_again(tmp_path, capsys):
    images, out = tmp_path / "images", tmp_path / "sweep"
    folder_of_images(images, 0)
    arguments = [str(images) if word == "synthetic" else word for word in MINIATURE]
    arguments[arguments.index("0,0.5")] = "0"
    arguments += ["--jobs", "1", "--out", str(out)]
    with quickly():
        assert main(arguments) == 0
        first = json.loads((out / "results.json").read_text())
        weights = (out / "models" / "dropout=0,seed=0" / "checkpoint.pt").read_bytes()
        assert len(torch.load(out / "models" / "dropout=0,seed=0" / "checkpoint.pt")["parts"]) == 0
        folder_of_images(images, 1)
        capsys.readouterr()
        assert main(arguments) == 0
    second, said = json.loads((out / "results.json").read_text()), capsys.readouterr().err
    assert "is stale" in said and "was made from other training images and other validation images" in said
    assert first["sites"] != second["sites"] and first["training"] != second["training"]
    assert (out / "models" / "dropout=0,seed=0" / "checkpoint.pt").read_bytes() != weights
    assert (out / "models" / "dropout=0,seed=0" / "checkpoint.pt.stale").read_bytes() == weights


def test_a_truncated_item_is_set_aside_and_computed_again(quick_sweep, capsys):
    path = next((quick_sweep / "items").glob("analysis_untrained*.json"))
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with quickly():
        assert main([*MINIATURE, "--out", str(quick_sweep)]) == 0
    assert "is damaged" in capsys.readouterr().err and path.read_text() == whole
