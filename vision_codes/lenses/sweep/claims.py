"""The statements of Marshall & Kirchner on the ResNet-VAE (Fig. 3c, 4d, 5, 6), each as a number per seed and a verdict.

alpha is the bias-corrected exponent (the measured one where the correction is undefined). Every number is computed
within a seed, where networks of different dropout started from the same weights, and then averaged over seeds; the
interval is Student's t over seeds. What is said of one dropout must stand clear of the untrained networks; what is said
of dropout itself, of networks that differ in their seed only; and what is said of two numbers of a network, of numbers
of two networks. All statements are one family, corrected by Holm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from eval.claims import Claim
from eval.scores import Score
from eval.verdicts import Region, above, below, corrected, judged_claim, near
from vision_codes.lenses.sweep.networks import Network, seeds_for_dropouts, with_dots_of_the_next
from vision_codes.lenses.sweep.seeds import EARLY, LATE, MIDDLE, mean, over_seeds, rank_correlation, slope

NEAR = 0.25
"""How far from -1 still counts as near (statement 2 of Fig. 6)."""
JUST_BELOW = -1.5
"""Lower end of "just below -1" (Fig. 3c)."""
DISCONTINUOUS = 0.75
"""Growth exponent of the action with the frames above which a path counts as discontinuous: a jump gives 1, a smooth
path 0 (1.5, .5 and 0 where the stimulus' own code has exponents of -1.5, -2.5 and -3.5)."""


Measure = Callable[["Network"], float | None]


def claims(networks: Sequence[Network]) -> list[Claim]:
    """All statements, judged over the seeds at hand (fewer seeds: wider intervals, more "cannot tell").

    networks: the trained ones, and the untrained one of each seed, which are the controls.
    """
    found = [*_figure_3(networks), *_figure_4(networks), *_figure_5(networks), *_figure_6(networks)]
    return corrected(found)


def _claim(
    text: str, source: str, prediction: str, score: Score, region: Region, note: str, controls: Mapping[str, Score],
    tolerance: float | None = None, *, units: str,
) -> Claim:  # fmt: skip
    return judged_claim(
        text, source, prediction, score, region, note=note, degrees=max(1, (score.n or 2) - 1), controls=controls,
        family="ResNet-VAE, Figures 3 to 6", over_seeds=True, tolerance=tolerance, units=units,
    )  # fmt: skip


def _untrained(networks: Sequence[Network], measure: Measure) -> dict[str, Score]:
    """The same number of the untrained networks; empty where there are none."""
    found = [measure(network) for network in networks if network.dropout is None]
    return {"untrained": over_seeds(found)} if found else {}


def _per_seed(networks: Sequence[Network], measure: Callable[[list[Network]], float | None]) -> Score:
    """A number per seed from all its trained networks (rising dropout), then over seeds.

    In an unfinished sweep a seed that lacks a dropout others have is left out: its number would mean something else.
    """
    trained = [network for network in networks if network.dropout is not None]
    seeds = sorted({network.seed for network in trained})
    groups = [sorted((n for n in trained if n.seed == seed), key=lambda n: n.dropout or 0.0) for seed in seeds]
    every = {network.dropout for network in trained}
    return over_seeds(measure(group) for group in groups if {n.dropout for n in group} == every)


def _per_seed_at(networks: Sequence[Network], dropout: float, measure: Measure) -> Score:
    """A number per seed from its network of one dropout, then over the seeds that have it."""
    return _per_seed([n for n in networks if n.dropout == dropout], lambda group: measure(group[0]))


def _at(networks: Sequence[Network], dropout: float, measure: Measure) -> tuple[Score, dict[str, Score]]:
    """The number at one dropout, and the untrained networks'."""
    return _per_seed_at(networks, dropout, measure), _untrained(networks, measure)


def _figure_3(networks: Sequence[Network]) -> list[Claim]:
    source = "MK section 2, Fig. 3c"
    rows = []
    statements: list[tuple[str, range, str, Region]] = [
        ("alpha is just below -1 in the first layers", EARLY, f"between {JUST_BELOW} and -1", Region(JUST_BELOW, -1.0)),
        ("alpha is above -1 in the middle layers", MIDDLE, "above -1", above(-1.0)),
        ("alpha is at or below -1 in the last layers", LATE, "below -1", below(-1.0)),
    ]
    for text, layers, prediction, region in statements:
        score, controls = _at(networks, 0.0, lambda n, layers=layers: mean(n.of("alpha", layers)))
        note = f"mean over sites {layers[0]}-{layers[-1]} at dropout 0"
        rows.append(_claim(text, source, prediction, score, region, note, controls, units="exponent"))
    return rows


def _figure_4(networks: Sequence[Network]) -> list[Claim]:
    source = "MK section 2, Fig. 4"

    def roughness(network: Network) -> float | None:
        early, late = mean(network.of("refinement_slope", EARLY)), mean(network.of("refinement_slope", LATE))
        return None if early is None or late is None else early - late

    jumps, jumps_untrained = _at(networks, 0.0, lambda n: mean(n.of("refinement_slope", EARLY)))
    smooth, smooth_untrained = _at(networks, 0.0, roughness)
    raw, raw_untrained = _at(networks, 0.0, lambda n: rank_correlation(n.of("alpha"), n.of("action")))
    scaled, scaled_untrained = _at(networks, 0.0, lambda n: rank_correlation(n.of("alpha"), n.of("action_per_trace")))
    falls = "rank correlation over sites above 0"
    return [
        _claim("early layers give discontinuous projections", source,
               f"growth exponent of the action with frames above {DISCONTINUOUS} (a jump: 1)", jumps,
               above(DISCONTINUOUS), "mean over sites 1-5, dropout 0", controls=jumps_untrained,
               units="growth exponent"),
        _claim("late layers give smoother projections than early ones", source,
               "growth exponent: early sites above late sites", smooth, above(0.0),
               "difference of growth exponents, sites 1-5 minus 14-17, dropout 0", controls=smooth_untrained,
               units="growth exponent"),
        _claim("the action falls as alpha falls (raw action)", "MK section 2, Fig. 4d", falls, raw, above(0.0),
               "Spearman over the 17 sites, dropout 0; raw action depends on each site's scale",
               controls=raw_untrained, units="rank correlation"),
        _claim("the action falls as alpha falls (action / variance)", "MK section 2, Fig. 4d", falls, scaled,
               above(0.0), "the same with the scale of each site taken out", controls=scaled_untrained,
               units="rank correlation"),
    ]  # fmt: skip


def _figure_5(networks: Sequence[Network]) -> list[Claim]:
    source = "MK section 2, Fig. 5"
    deep = [*MIDDLE, *LATE]

    def contrast(network: Network) -> float | None:
        there, early = mean(network.of("largest_step", deep)), mean(network.of("largest_step", EARLY))
        return None if there is None or early is None else there - early

    depth, depth_untrained = _at(networks, 0.0, contrast)
    more, more_alike = _over_dropout(networks, "largest_step", deep)
    return [
        _claim(
            "spectra are step-like in middle and late layers",
            source,
            "largest step: sites 6-17 above sites 1-5",
            depth,
            above(0.0),
            "largest drop of a log eigenvalue beyond the power law, indices 2-100, dropout 0",
            depth_untrained,
            units="log eigenvalue",
        ),
        _claim(
            "more so with dropout",
            source,
            "largest step at sites 6-17 rises with dropout",
            more,
            above(0.0),
            "least-squares slope on dropout",
            more_alike,
            units="log eigenvalue per unit of dropout",
        ),
    ]


def _over_dropout(
    networks: Sequence[Network], key: str, layers: Sequence[int] | None = None
) -> tuple[Score, dict[str, Score]]:
    """Slope on dropout per seed, and the same for networks that differ in their seed only."""

    def measure(group: list[Network]) -> float | None:
        return slope([n.dropout or 0.0 for n in group], [mean(n.of(key, layers)) for n in group])

    return _per_seed(networks, measure), {
        "seeds in place of dropouts": _per_seed(seeds_for_dropouts(networks), measure)
    }


def _within_sites(networks: Sequence[Network], first: str, second: str) -> tuple[Score, dict[str, Score]]:
    """Spearman over dropouts at each site, averaged over sites, per seed; and with `second` of another network."""

    def measure(group: list[Network]) -> float | None:
        pairs = zip(
            zip(*(n.of(first) for n in group), strict=True),
            zip(*(n.of(second) for n in group), strict=True),
            strict=True,
        )
        return mean(rank_correlation(a, b) for a, b in pairs)

    return _per_seed(networks, measure), {"another dropout's": _per_seed(with_dots_of_the_next(networks), measure)}


def _figure_6(networks: Sequence[Network]) -> list[Claim]:
    steeper, steeper_alike = _over_dropout(networks, "alpha")
    close, close_untrained = _at(networks, 0.2, lambda n: mean(n.of("alpha")))
    coupled, uncoupled = _within_sites(networks, "alpha", "action")
    rises, rises_alike = _over_dropout(networks, "explained_coordinates")
    pixels, pixels_alike = _over_dropout(networks, "explained_pixels")
    deeper = _per_seed(networks, lambda g: mean(slope(n.layers, n.of("explained_coordinates")) for n in g))
    deeper_pixels = _per_seed(networks, lambda g: mean(slope(n.layers, n.of("explained_pixels")) for n in g))
    within = _per_seed(networks, lambda group: mean(v for n in group for v in n.of("action_explained_rho")))
    position = _untrained(networks, lambda n: slope(n.layers, n.of("explained_coordinates")))
    images = _untrained(networks, lambda n: slope(n.layers, n.of("explained_pixels")))
    low_action = _untrained(networks, lambda n: mean(n.of("action_explained_rho")))
    source = "MK section 2, Fig. 6"
    coordinates, image = "of (cos, sin); median of 1000 projections", "of the pixels; median of 1000 projections"
    return [
        _claim("(1) more dropout, steeper alpha", source, "slope of mean alpha on dropout below 0", steeper,
               below(0.0), "mean over 17 sites", steeper_alike, units="exponent per unit of dropout"),
        _claim("(2) at dropout .2 alpha stays near -1", source, f"within {NEAR} of -1", close,
               near(-1.0, NEAR), "mean over 17 sites", tolerance=NEAR, controls=close_untrained, units="exponent"),
        _claim("(3) steeper alpha goes with lower action", source, "rank correlation over dropouts above 0", coupled,
               above(0.0), "Spearman over dropouts within a site, mean over sites; raw action", uncoupled,
               units="rank correlation"),
        _claim("(4a) explained variance of the position rises with dropout", source, "slope on dropout above 0", rises,
               above(0.0), coordinates, rises_alike, units="R^2 per unit of dropout"),
        _claim("(4a) explained variance of the pixels rises with dropout", source, "slope on dropout above 0", pixels,
               above(0.0), image, pixels_alike, units="R^2 per unit of dropout"),
        _claim("(4b) explained variance of the position rises with depth", source, "slope on depth above 0", deeper,
               above(0.0), f"per ReLU, mean over dropouts; {coordinates}", controls=position, units="R^2 per ReLU"),
        _claim("(4b) explained variance of the pixels rises with depth", source, "slope on depth above 0",
               deeper_pixels, above(0.0), f"per ReLU, mean over dropouts; {image}", controls=images,
               units="R^2 per ReLU"),
        _claim("(5) low-action projections explain more", source, "rank correlation over projections below 0", within,
               below(0.0), "Spearman of action per variance and R^2 of (cos, sin), mean over sites",
               controls=low_action, units="rank correlation"),
    ]  # fmt: skip
