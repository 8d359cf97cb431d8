"""What the measures do when nothing is said: every number of a public default, and the rules that scores rest on.

These numbers are part of the published method: a user who passes nothing gets them, and scores that were reported with
one of them cannot be compared with scores that are computed with another. So they stand twice, in the source and here;
whoever changes one changes both and says why. A number missing here fails as well. Every seed is 0. Sizes of blocks,
tolerances of rounding and the like, which change no result, are not listed.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
METHOD: dict[str, dict[str, Any]] = {
    "eval.measures.clustering.clusters": {
        "NEIGHBOURS": 16,
        "cluster_codes": dict(min_cluster_size=20, allow_single_cluster=False, epsilon=0.0),
        "cluster_points": dict(min_cluster_size=20, allow_single_cluster=False, epsilon=0.0),
    },
    "eval.measures.clustering.entropy_reduction": {"entropy_reduction": {"size": 5}},
    "eval.measures.clustering.monosemanticity": {
        "Monosemanticity.monosemantic": dict(level=0.05),
        "monosemanticity": dict(n_draws=500),
    },
    "eval.measures.clustering.selection": {
        "select_clusters": dict(allow_single_cluster=False, epsilon=0.0),
        "assign": dict(epsilon=0.0),
    },
    "eval.measures.codes.class_density": {
        "MINIMUM_CLASSES": 8,
        "class_density": dict(n_resamples=2000),
    },
    "eval.measures.codes.code_map": {
        "CodePart": dict(thresholds=(0.0,), symbols=0),
    },
    "eval.measures.codes.program_codes": {
        "soft_codes": dict(sharpness=1.0),
    },
    "eval.measures.codes.ray_peak": {
        "WIDTH": 3,
        "MINIMUM_RAYS": 8,
        "ray_peak": dict(confidence=0.95, n_resamples=2000),
    },
    "eval.measures.codes.region_flow": {
        "LEAST_SHARED": 2,
        "MINIMUM_ITEMS": 10,
        "neighbours_kept": dict(k=5),
    },
    "eval.measures.compiled": {
        "compiled": dict(parallel=False),
    },
    "eval.measures.connectors.faithfulness": {
        "edge_agreement": dict(n_shuffles=200),
    },
    "eval.measures.connectors.fit": {},
    "eval.measures.connectors.fit_options": {
        "ConnectorFit": dict(
            l1=0.005,
            edges_per_output=32,
            minimum_share=0.0,
            steps=400,
            refit_steps=600,
            fit_batch_size=1024,
            learning_rate=0.02,
        ),  # fmt: skip
    },
    "eval.measures.connectors.logic_forms": {
        "MAXIMUM_PARENTS": 6,
        "LogicForm": dict(adjusted=math.nan, named=False),
        "logic_forms": dict(threshold=0.5, minimum_support=10, minimum_f1=0.5, level=0.05),
        "retest_forms": dict(threshold=0.5, minimum_support=10, minimum_f1=0.5, level=0.05),
    },
    "eval.measures.connectors.truth_tables": {
        "cell_p_values": dict(clustered=False),
    },
    "eval.measures.dictionaries.baselines": {
        "LEAST_COSINE": 0.8,
    },
    "eval.measures.dictionaries.code_dictionary": {
        "factor_dictionary": dict(sparsity=0.0),
        "topk_dictionary": dict(widening=2.0, k=32, steps=400, batch_size=256),
    },
    "eval.measures.dictionaries.dictionary": {
        "TopKDictionary": dict(k=0),
        "encode_rows": dict(batch_size=4096),
    },
    "eval.measures.dictionaries.dictionary_quality": {},
    "eval.measures.dictionaries.directions": {
        "nmf_directions": dict(n_components=64),
        "pca_directions": dict(n_components=64),
        "cosine_histograms": dict(n_bins=40),
        "clusters_crossed": dict(least=2),
        "overlap_above_chance": dict(least=2, n_draws=1000),
    },
    "eval.measures.dictionaries.selection": {"Read": {"smallest": 0.0}, "largest_of_all": {"least": 1e-12}},
    "eval.measures.dictionaries.stability": {
        "PARTNER_COSINE": 0.7,
    },
    "eval.measures.dictionaries.step_options": {
        "StepOptions": dict(
            k=32,
            d_out=0,
            tied=False,
            batch_topk=False,
            learning_rate=0.001,
            warmup_steps=0,
            decay_steps=0,
            total_steps=0,
            auxiliary=1.0,
            auxiliary_features=0,
            dead_after=1000,
            bias=True,
            skip=False,
            clip=1.0,
            threshold_rate=0.01,
            decoder_norm=0.1,
        ),
    },
    "eval.measures.geometry.affine_maps": {
        "AffineMap.matrix": dict(max_values=67108864),
        "nearest_boundary": dict(max_units=20000),
        "map_distance": dict(n_probes=32),
    },
    "eval.measures.geometry.cell_complex": {
        "cells_in_box": dict(max_cells=10000),
    },
    "eval.measures.geometry.cells": {
        "MOST_AXES_OF_VERTICES": 6,
    },
    "eval.measures.geometry.crossings": {
        "Events.add": dict(segment=0),
    },
    "eval.measures.geometry.decision_paths": {
        "ways_out": dict(most_steps=50, overshoot=0.02),
    },
    "eval.measures.geometry.forced_codes": {
        "cluster_code": dict(count=16),
    },
    "eval.measures.geometry.layer_norm_segment": {
        "layer_norm_crossings": dict(epsilon=1e-05, centre=True),
        "normalised_crossings": dict(epsilon=1e-05, centred=True),
    },
    "eval.measures.geometry.planes": {
        "plane_through": dict(margin=0.2),
    },
    "eval.measures.geometry.rewrites": {
        "rrelu": dict(lower=0.125, upper=0.3333333333333333, training=False),
        "softshrink": dict(level=0.5),
        "amax": dict(keepdim=False),
        "amin": dict(keepdim=False),
        "max_pool3d": dict(padding=0, dilation=1, ceil_mode=False),
        "max_over_axis": dict(keepdim=False),
        "min_over_axis": dict(keepdim=False),
    },
    "eval.measures.geometry.sampled_segments": {
        "sampled_crossings": dict(n_samples=65, batch_size=16),
    },
    "eval.measures.geometry.segments": {
        "segment_crossings": dict(max_values=268435456, max_crossings=50000000),
        "crossings_of_segments": dict(max_values=268435456, max_crossings=50000000),
    },
    "eval.measures.geometry.slices": {
        "WINDOW_AREA": 4.0,
        "plane_slice": dict(max_regions=100000, memory_values=33554432, epsilon=1e-10),
    },
    "eval.measures.geometry.tracing": {
        "CHECK_SCALES": (1.0, 3.0),
    },
    "eval.measures.connectors.pursuit": {
        "SLACK": 1e-9,
        "pursue": dict(ridge=1e-3, iterations=50),
        "refit": dict(ridge=1e-3),
    },
    "eval.measures.connectors.readable": {
        "CARRIED": 0.8,
    },
    "eval.measures.graphs.agreement": {},
    "eval.measures.graphs.supernodes": {
        "grouped": dict(least=0.5),
        "stability": dict(least=0.5, resamples=50),
    },
    "eval.measures.graphs.faithfulness": {},
    "eval.measures.graphs.influence": {
        "prune": dict(node_share=0.8, edge_share=0.98),
    },
    "eval.measures.information.calibration": {
        "DRAWS": 20,
        "MOST_CALIBRATED": 2000,
        "DOUBT": 0.5,
        "calibrate": dict(symbols=False, neighbours=5, draws=20),
    },
    "eval.measures.information.capacity": {
        "reencoding_failure": dict(n_layers=1),
        "blahut_arimoto": dict(tolerance=1e-07, max_iterations=200000),
    },
    "eval.measures.information.critics": {
        "SMILE_CLIP": 5.0,
        "NetworkOptions": dict(hidden=64, layers=2, steps=2000, batch=256, learning_rate=0.002),
        "infonce": dict(batch=256),
    },
    "eval.measures.information.estimate": {
        "estimate_information": dict(holdout=0.3, standardise=True, copula=True),
    },
    "eval.measures.information.near_distribution": {
        "ATOM_REPEATS": 5,
        "MIXTURE_SIZES": (1, 2, 4, 8),
        "MOST_FITTED": 2000,
        "FEW_PER_COLUMN": 20,
        "NearDistribution.information": dict(n=20000),
        "fit_near": dict(symbols=False),
    },
    "eval.measures.information.neighbours": {
        "mixed_information_terms": dict(neighbours=5),
        "symbol_information_terms": dict(neighbours=5),
    },
    "eval.measures.information.networks": {
        "fit": dict(validation_share=0.2, check_every=100),
    },
    "eval.measures.information.untrained": {
        "NEIGHBOURS": 5,
        "REFUTED": 0.001,
    },
    "eval.measures.projections.held_out_action": {
        "LEAST_GROUPS": 6,
        "held_out_minimum_action": dict(confidence=0.95),
    },
    "eval.measures.projections.projection": {
        "random_projections": dict(n_dimensions=3),
        "action": dict(dt=1.0),
        "expected_action": dict(dt=1.0, n_dimensions=3),
        "sampled_actions": dict(n_draws=1000, dt=1.0, n_dimensions=3),
        "action_per_trace": dict(dt=1.0, n_dimensions=3),
        "minimum_action": dict(dt=1.0, n_dimensions=3, tolerance=1e-10),
        "action_per_variance": dict(dt=1.0),
        "circle_code": dict(n_turns=1.0),
        "held_out_arcs": dict(n_arcs=8),
    },
    "eval.measures.projections.streamed_action": {
        "expected_action": dict(n_dimensions=3, dt=1.0),
        "sampled_actions": dict(dt=1.0),
        "minimum_action_directions": dict(n_dimensions=3, tolerance=1e-09),
    },
    "eval.measures.spectra.alpha_interval": {
        "SIMULATED_WIDTH": 256,
        "TRUNCATED_WIDTH": 200,
        "WARN_TOKENS_PER_WIDTH": 16,
        "MINIMUM_TOKENS_PER_INDEX": 3,
        "TOKENS_PER_DIRECTION": 12,
        "LEAST_SENSITIVITY": 0.25,
        "LARGEST_CORRECTION": 0.5,
        "ClusteredSpectrum": dict(dispersion=1.0),
        "correct_exponent": dict(index_range=(10, 50), confidence=0.95, minimum_documents=20),
        "corrected_exponent": dict(index_range=(10, 50)),
    },
    "eval.measures.spectra.clustered_wishart": {
        "LENGTH_CLASSES": 16,
    },
    "eval.measures.spectra.document_moments": {
        "SKETCH_WIDTH": 192,
        "N_BINS": 256,
        "N_GROUPS": 16,
        "BAND_EDGES": (0, 3, 9, 25, 60),
        "group_of": dict(n_groups=16),
    },
    "eval.measures.spectra.document_groups": {
        "N_GROUPS": 32,
        "SUBSPACE": 128,
        "DIRECTIONS_PER_INDEX": 2,
        "N_SPLITS": 40,
        "DocumentSplits.half_width": dict(confidence=0.95),
        "DocumentGroups.splits": dict(index_range=(10, 50), n_splits=40),
    },
    "eval.measures.spectra.document_difference": {
        "paired_difference": dict(confidence=0.95),
    },
    "eval.measures.spectra.document_interval": {
        "exponent_over_documents": dict(index_range=(10, 50), confidence=0.95),
    },
    "eval.measures.spectra.half_scatter": {
        "HalfScatter.scatter": dict(sides=(0, 1)),
    },
    "eval.measures.spectra.power_law": {
        "INDEX_RANGE": (10, 50),
        "HUBER_EPSILON": 1.35,
        "MAXIMUM_ITERATIONS": 500,
        "log_range": dict(index_range=(10, 50)),
        "huber_line": dict(tolerance=1e-10),
        "power_law_exponent": dict(index_range=(10, 50)),
        "fit_power_law": dict(index_range=(10, 50)),
        "range_sensitivity": dict(index_range=(10, 50)),
        "curvature": dict(index_range=(10, 50)),
        "broken_power_law": dict(index_range=(10, 50)),
    },
    "eval.measures.spectra.spectrum": {
        "RANDOMIZED_FEATURES": 8000,
        "RANDOMIZED_COMPONENTS": 1000,
        "Spectrum.of": dict(split_half=True),
        "Spectrum.report": dict(index_range=(10, 50)),
        "effective_capacity": dict(bits_per_neuron=32.0),
        "randomized_eigenvalues": dict(n_components=1000, maximum_features=8000),
    },
    "eval.measures.spectra.spectrum_inference": {
        "KINK_SD": 0.3,
        "START_ROUNDS": 2,
        "START_DRAWS": 6,
        "SLOPE_DRAWS": 8,
        "FINAL_DRAWS": 48,
        "STEP": 0.05,
        "RELIABLE": 0.75,
        "RELIABLE_TRUNCATED": 0.55,
    },
    "eval.measures.statistics.resampling": {
        "MINIMUM_GROUPS": 20,
        "bootstrap": dict(confidence=0.95, n_resamples=2000, minimum_groups=20),
        "bootstrap_two_way": dict(confidence=0.95, n_resamples=2000, minimum_units=10, minimum_groups=20),
        "permutation_p": dict(n_resamples=2000),
    },
    "eval.measures.statistics.binomial": {
        "binomial_share": dict(confidence=0.95),
    },
    "eval.measures.statistics.confidence_sequences": {
        "LARGEST_BET": 0.9,
        "betting_sequence": dict(level=0.95, candidates=2000),
    },
    "eval.measures.statistics.small_samples": {
        "studentised_mean": dict(level=0.95, n_resamples=2000, minimum_groups=8),
        "expanded_levels": dict(level=0.95),
        "of_another": dict(level=0.95),
        "studentised_permutation_test": dict(n_resamples=5000),
    },
    "eval.polytope_verdicts": {
        "FOOTNOTE_CORRELATION": 0.5,
        "PEAK_MARGIN": 0.14,
        "SETTLED_SHARE": 0.25,
        "judge_counts": dict(threshold=0.0),
    },
    "eval.verdicts": {
        "LEVEL": 0.05,
        "Region": dict(low=-math.inf, high=math.inf),
        "judged_claim": dict(over_seeds=False),
        "corrected": dict(level=0.05),
    },
}


def loaded(name: str) -> ModuleType:
    """The module run anew from its file, without the shape checks that the other tests see it through."""
    importlib.import_module(name)  # dataclasses look their module up
    spec = importlib.util.spec_from_file_location(name, ROOT / (name.replace(".", "/") + ".py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_number(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(map(is_number, value))
    return isinstance(value, (bool, int, float))


def of_function(function: Any) -> dict[str, Any]:
    """The numbers among a function's defaults."""
    found = inspect.signature(inspect.unwrap(function)).parameters.values()
    return {one.name: one.default for one in found if is_number(one.default)}


def defaults(module: ModuleType) -> dict[str, dict[str, Any]]:
    """The same of every public function, public method and dataclass of a module."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            methods = {
                key: getattr(one, "__func__", one) for key, one in vars(value).items() if not key.startswith("_")
            }
            found |= {f"{name}.{key}": of_function(one) for key, one in methods.items() if inspect.isfunction(one)}
            if dataclasses.is_dataclass(value):
                found[name] = {one.name: one.default for one in dataclasses.fields(value) if is_number(one.default)}
        elif callable(value) and hasattr(inspect.unwrap(value), "__code__"):
            found[name] = of_function(value)
    return found


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)))


@pytest.mark.parametrize("name", METHOD)
def test_the_defaults_are_those_of_the_published_method(name: str):
    module = loaded(name)
    expected = METHOD[name]
    found = {key: {option: value for option, value in one.items() if option != "seed"}
             for key, one in defaults(module).items()}  # fmt: skip
    found = {key: one for key, one in found.items() if one}
    rules = {key: value for key, value in expected.items() if key.isupper()}
    assert found.keys() == expected.keys() - rules.keys()
    for key, one in found.items():
        assert one.keys() == expected[key].keys() and all(same(one[option], expected[key][option]) for option in one)
    assert {key: getattr(module, key) for key in rules} == rules


@pytest.mark.parametrize("path", sorted(Path(ROOT, "eval/measures").rglob("*.py")), ids=lambda path: path.stem)
def test_every_default_is_listed_and_every_seed_is_zero(path: Path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    found = defaults(loaded(name))
    assert all(one.get("seed", 0) == 0 and type(one.get("seed", 0)) is int for one in found.values())
    listed = name in METHOD or not any(found.values())
    assert listed, f"{name} has defaults that METHOD does not hold: add them there"
