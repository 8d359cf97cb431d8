"""Mistakes that once went unnoticed, and every control replaced by what it controls: named tests must notice each.

    make mutants-named        each in a fork, against its tests; 1 where one survives

A mistake is a change of source text, applied in the fork only (`tests/mutant_runs.py`).
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.mutant_runs import Runner, import_heavy  # noqa: E402


@dataclass(frozen=True)
class Named:
    """A mistake: the text of a file, what stands there instead, and the tests (a file, or one test) that notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def source(self) -> str:
        """The file with the mistake."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(
                f"{self.name}: expected {self.old!r} once in {self.file}; got it {text.count(self.old)} times"
            )
        return text.replace(self.old, self.new)


LLM, VISION = "llm_codes/lenses", "vision_codes/lenses"
NAMED = (
    Named("the untrained control is the trained model", "llm_codes/models.py",
          'else f"{model.name} untrained"\n', 'else f"{model.name} untrained"\n    return replace(model, name=name)\n',
          "tests/llm_codes/test_models.py"),
    Named("spectra: the control is the model itself", f"{LLM}/spectra/command.py",
          "fresh = untrained_like(inputs.model, inputs.seed)", "fresh = inputs.model",
          f"tests/{LLM}/spectra/test_command_control.py"),
    Named("explain: the untrained condition reads the trained model", f"{LLM}/explain/recording.py",
          "_Passes(untrained_like(model, seed), reading)", "_Passes(model, reading)",
          f"tests/{LLM}/explain/test_recording_controls.py"),
    Named("explain: the shuffled condition is not shuffled", f"{LLM}/explain/recording.py",
          "np.random.default_rng([seed, 3, code]).permutation(members)", "members",
          f"tests/{LLM}/explain/test_recording_controls.py"),
    Named("polytopes: the untrained rays are the trained network's", f"{LLM}/polytopes/stages.py",
          'self._rays("untrained", lambda: untrained_like(model, self.seed))', 'self._rays("untrained", lambda: model)',
          f"tests/{LLM}/polytopes/test_stages_controls.py"),
    Named("polytopes: the statements' control is the trained network", f"{LLM}/polytopes/study.py",
          "Stages(untrained_like(work.model, work.seed),", "Stages(work.model,",
          f"tests/{LLM}/polytopes/test_stages_controls.py"),
    Named("the spectra verdict is flipped", f"{LLM}/spectra/claims.py",
          '"fails" if any(below) else "holds" if', '"holds" if any(below) else "fails" if',
          f"tests/{LLM}/spectra/test_claims.py"),
    Named("explain's split has other shares", "eval/explanation/windows.py",
          "half = max(1, len(order) // 2)", "half = max(1, len(order) // 4)",
          "tests/eval/explanation/test_windows.py"),
    Named("explain's split does not follow documents", "eval/explanation/windows.py",
          "    return part[document]\n", "    return np.random.default_rng(seed).permutation(part[document])\n",
          "tests/eval/explanation/test_windows.py"),
    Named("the toy margin takes in everything", "toy/capacity/claims.py",
          "LAW_MARGIN = 0.01", "LAW_MARGIN = 10.0", "tests/toy/capacity/test_claims.py"),
    Named("the toy oracle always holds", "toy/capacity/claims.py",
          "near(0.0, 1e-5)", "near(0.0, 1e5)", "tests/toy/capacity/test_claims.py"),
    Named("the spectra oracle always holds", "toy/spectra/claims.py",
          "near(1.0, MARGIN)", "near(1.0, 1e6)",
          "tests/toy/spectra/test_claims.py"),
    Named("the connector is refitted with the penalty on", "eval/measures/connectors/fit.py",
          "options.refit_steps, 0.0, kept", "options.refit_steps, options.l1, kept",
          "tests/eval/measures/connectors/test_connector.py"),
    Named("the participation ratio is not corrected", "eval/measures/spectra/spectrum.py",
          "if n_samples is None:\n        return trace**2", "if True:\n        return trace**2",
          "tests/eval/measures/spectra/test_spectrum.py"),
    Named("images: every control is the trained network", f"{VISION}/polytopes/controls.py",
          "    return in_eval_mode(out)\n", "    return copy.deepcopy(module).eval()\n",
          f"tests/{VISION}/polytopes/test_controls.py"),
    Named("a statement holds where its controls show it as well", "eval/verdicts.py",
          'return "holds, and so does its control"', 'return "holds"', "tests/eval/test_verdicts.py"),
    Named("the depth statements need no control", "eval/explanation/comparison/claims.py",
          "                    controls=controls,\n",
          "                    controls=None,\n",
          "tests/eval/explanation/comparison/test_claims.py"),
    Named("dropout channel: the untrained curve is the trained one", "toy/dropout_channel/study.py",
          'networks = untrained if condition == "untrained" else trained', "networks = trained",
          "tests/toy/dropout_channel/test_study.py"),
    Named("connectors: random edges are the strongest edges", f"{LLM}/circuits/evaluation.py",
          '"random edges, refitted": refitted(fitted, chance,',
          '"random edges, refitted": refitted(fitted, analytic.dense() != 0,',
          f"tests/{LLM}/circuits/test_evaluation_controls.py"),
    Named("connectors: the untrained network's chain is the chain itself", f"{LLM}/circuits/evaluation.py",
          "control = _Work(fresh, own,", "control = _Work(model, chain,", f"tests/{LLM}/circuits/test_untrained.py"),
    Named("connectors: the stand-in needs no untrained network", f"{LLM}/circuits/claims.py",
          "return [needing(whole, UNTRAINED), ", "return [whole, ", f"tests/{LLM}/circuits/test_claims.py"),
    Named("connectors: logic forms need no untrained network", f"{LLM}/circuits/claims.py",
          "return needing(found, UNTRAINED)", "return found", f"tests/{LLM}/circuits/test_claims.py"),
)  # fmt: skip


def survivors(chosen: tuple[Named, ...] = NAMED) -> list[str]:
    """The mistakes that their tests do not notice, with the reason; each line is said as it is known."""
    import_heavy(models=True)
    left = []
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder), Path(folder), set())
        for one in chosen:
            verdict, reason = runner.whole(ROOT / one.file, one.source, one.tests)
            sys.stdout.write(f"{verdict:9} {one.name}: {reason}\n")
            sys.stdout.flush()
            if verdict != "killed":
                left.append(one.name)
    return left


if __name__ == "__main__":
    words = " ".join(sys.argv[1:])
    sys.exit(1 if survivors(tuple(one for one in NAMED if words in one.name)) else 0)
