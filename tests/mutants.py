"""Do the tests notice? Seeded mutants of the measures, claims and statistics files, each against its own tests.

    make mutants                    500 mutants, a share of each file; the surviving share at the end
    python tests/mutants.py --count 30 --workers 1 --out runs/mutants-30

A mutant is one small change of a syntax tree (`tests/mutations.py`). It is *killed* where one of its tests fails or
takes four times its usual time, and *survives* where all pass; a file without tests lets every mutant survive.
Compiled kernels run through their Python bodies (NUMBA_DISABLE_JIT), so that a mutant of one is seen.

Why not a package: mutmut puts every function behind a trampoline, which numba cannot compile and the shape checks of
the tests cannot wrap; cosmic-ray edits the working tree and knows one test command for all files. Here torch is
imported once, every mutant is a fork that reads its own source in place of the file's, and nothing on disk changes.

The record (`mutants.jsonl`) is read back: the same command continues.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.machinery
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.mutations import Mutation, mutated, mutations  # noqa: E402

WINGS = ("eval", "llm_codes", "vision_codes", "toy")
HEAVY = ("numpy", "torch", "scipy.stats", "sklearn.cluster", "hypothesis", "beartype", "jaxtyping", "pytest")
SLOWEST_TEST = 15.0
"""Seconds; a slower test is left out (kernels are slow as Python)."""


@dataclass(frozen=True)
class Outcome:
    """One mutant and what became of it: `killed`, `timeout` (killed too), `survived` or `no test`."""

    file: str
    line: int
    change: str
    number: int
    verdict: str
    seconds: float


def files() -> list[Path]:
    """Every file of a measure, every `claims` and `statistics` file, and the rules of the verdicts."""
    found = [*(ROOT / "eval/measures").rglob("*.py"), ROOT / "eval/polytope_verdicts.py"]
    for wing in WINGS:
        found += [*(ROOT / wing).rglob("*claims.py"), *(ROOT / wing).rglob("*statistics.py")]
    chosen = {path for path in found if path.name != "__init__.py" and "configs" not in path.parts}
    return sorted(path for path in chosen if mutations(path.read_text(encoding="utf-8")))


def sample(count: int, seed: int) -> list[tuple[Path, Mutation]]:
    """The mutants: one of each file in turn, until there are enough, so that every file has its share."""
    generator = random.Random(seed)
    piles = []
    for path in files():
        found = mutations(path.read_text(encoding="utf-8"))
        piles.append((path, generator.sample(found, len(found))))
    chosen: list[tuple[Path, Mutation]] = []
    while len(chosen) < count and any(pile for _, pile in piles):
        generator.shuffle(piles)
        chosen += [(path, pile.pop()) for path, pile in piles if pile]
    return chosen[:count]


def mirrored(path: Path) -> list[str]:
    """Tests that stand where the module stands under its name, and those of its wing that import it; else all there."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    package, _, stem = module.rpartition(".")
    folder = ROOT / "tests" / path.parent.relative_to(ROOT)
    named = sorted(folder.glob(f"test_{path.stem}.py")) + sorted(folder.glob(f"test_{path.stem}_*.py"))
    wing = sorted((ROOT / "tests" / path.relative_to(ROOT).parts[0]).rglob("test_*.py"))
    importing = re.compile(rf"\b{re.escape(module)}\b|from {re.escape(package)} import .*\b{re.escape(stem)}\b")
    named += [test for test in wing if test not in named and importing.search(test.read_text(encoding="utf-8"))]
    return [str(test) for test in named or sorted(folder.glob("test_*.py"))]


class Recorder:
    """A pytest plugin: keeps only the tests asked for, notes which passed and how long each took."""

    def __init__(self, only: set[str] | None) -> None:
        self.only, self.passed, self.seconds = only, set[str](), dict[str, float]()

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.only is not None:
            items[:] = [item for item in items if item.nodeid in self.only]

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)


def read_in_place_of(path: Path, source: bytes) -> None:
    """From now on, in this process, importing the file at `path` compiles `source`."""
    loader = importlib.machinery.SourceFileLoader
    usual_data, usual_stats = loader.get_data, loader.path_stats

    def get_data(self: Any, place: str) -> bytes:
        return source if Path(place) == path else usual_data(self, place)

    def path_stats(self: Any, place: str) -> Any:
        return {"mtime": 0, "size": len(source)} if Path(place) == path else usual_stats(self, place)

    loader.get_data, loader.path_stats = get_data, path_stats  # type: ignore[method-assign]
    sys.dont_write_bytecode = True


def run_tests(tests: list[str], only: set[str] | None, answer: Path) -> None:
    """Body of a fork: run the tests, write what passed, and end without cleaning up."""
    import pytest

    recorder = Recorder(only)
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "--hypothesis-seed=0"]
    arguments += ["-o", "addopts=--import-mode=importlib", "-m", "not slow and not benchmark", *tests]
    status = pytest.main([*arguments, *([] if only is None else ["-x"])], plugins=[recorder])
    answer.write_text(
        json.dumps({"status": int(status), "passed": sorted(recorder.passed), **vars(recorder)}, default=list)
    )


def fork(work: Callable[[], None], log: Path) -> int:
    """Start `work` in a child with its own process group and its output in `log`; returns its id."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    status = 70
    with contextlib.suppress(BaseException):
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        work()
        status = 0
    os._exit(status)


def wait(child: int, limit: float) -> bool:
    """Whether the child ended by itself; it is killed with all its group where it did not."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, _ = os.waitpid(child, os.WNOHANG)
        if done:
            return True
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@dataclass
class Baseline:
    """The tests that pass, quickly enough, on the file as it is, and how long they take together."""

    tests: list[str]
    passed: set[str]
    seconds: float


class Runner:
    """Runs mutants of files one after the other; baselines are kept per file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.baselines = folder, dict[Path, Baseline]()

    def _child(self, path: Path, source: bytes | None, tests: list[str], only: set[str] | None, limit: float) -> Any:
        answer = self.folder / f"answer-{os.getpid()}.json"
        answer.unlink(missing_ok=True)
        kernels = "@compiled" in path.read_text(encoding="utf-8")

        def work() -> None:
            os.chdir(ROOT)
            os.environ["NUMBA_DISABLE_JIT"] = "1" if kernels else "0"
            if source is not None:
                read_in_place_of(path, source)
            run_tests(tests, only, answer)

        ended = wait(fork(work, self.folder / f"log-{os.getpid()}.txt"), limit)
        return json.loads(answer.read_text()) if ended and answer.exists() else {"status": 70 if ended else -1}

    def baseline(self, path: Path) -> Baseline:
        if path not in self.baselines:
            tests = mirrored(path)
            found = self._child(path, None, tests, None, 600) if tests else {"status": -1}
            seconds = found.get("seconds", {})
            good = {name for name in found.get("passed", ()) if seconds[name] <= SLOWEST_TEST}
            self.baselines[path] = Baseline(tests, good, sum(seconds[name] for name in good))
        return self.baselines[path]

    def run(self, path: Path, mutation: Mutation) -> Outcome:
        start, base = time.monotonic(), self.baseline(path)
        verdict = "no test"
        if base.passed:
            source = mutated(path.read_text(encoding="utf-8"), mutation).encode()
            found = self._child(path, source, base.tests, base.passed, 60 + 4 * base.seconds)
            verdict = {0: "survived", -1: "timeout"}.get(found["status"], "killed")
        seconds = round(time.monotonic() - start, 1)
        name = str(path.relative_to(ROOT))
        return Outcome(name, mutation.line, mutation.change, mutation.number, verdict, seconds)


def work_through(todo: list[tuple[Path, Mutation]], out: Path, end: float) -> None:
    """Run the mutants of one worker, file by file, and append each outcome to its own record."""
    with tempfile.TemporaryDirectory() as folder, (out / f"mutants-{os.getpid()}.jsonl").open("a") as record:
        runner = Runner(Path(folder))
        for path, mutation in sorted(todo, key=lambda one: str(one[0])):
            if time.monotonic() > end:
                break
            record.write(json.dumps(asdict(runner.run(path, mutation))) + "\n")
            record.flush()


def outcomes(out: Path) -> list[Outcome]:
    """Every outcome of the records in a folder, once each."""
    lines = [line for path in sorted(out.glob("*.jsonl")) for line in path.read_text().splitlines()]
    found = {(one["file"], one["number"]): Outcome(**one) for one in map(json.loads, lines)}
    return sorted(found.values(), key=lambda one: (one.file, one.line))


def report(found: list[Outcome], asked: int) -> Iterator[str]:
    """The survivors by file, then the share."""
    alive = [one for one in found if one.verdict in ("survived", "no test")]
    for one in alive:
        yield f"{one.verdict:9} {one.file}:{one.line}  {one.change}"
    share = len(alive) / max(1, len(found))
    untested = sum(one.verdict == "no test" for one in found)
    yield f"{len(found)} of {asked} mutants run: {len(alive)} survive ({share:.1%}), {untested} of them without a test"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=500, help="mutants in the sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--minutes", type=float, default=240, help="start no mutant after this long")
    parser.add_argument("--out", type=Path, default=Path("runs/mutants"), help="folder of the record")
    parser.add_argument("--only", default="", help="only files whose path holds these words")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["PYTHONPATH"] = str(ROOT)
    chosen = [one for one in sample(options.count, options.seed) if options.only in str(one[0])]
    done = {(one.file, one.number) for one in outcomes(options.out)}
    todo = [(path, m) for path, m in chosen if (str(path.relative_to(ROOT)), m.number) not in done]
    for name in HEAVY:
        importlib.import_module(name)
    end = time.monotonic() + 60 * options.minutes
    order = sorted({path for path, _ in todo})
    shares = [[one for one in todo if order.index(one[0]) % options.workers == k] for k in range(options.workers)]
    workers = [fork(lambda share=share: work_through(share, options.out, end), options.out / f"log-{k}.txt")
               for k, share in enumerate(shares) if share]  # fmt: skip
    for worker in workers:
        os.waitpid(worker, 0)
    wanted = {(str(path.relative_to(ROOT)), m.number) for path, m in chosen}
    found = [one for one in outcomes(options.out) if (one.file, one.number) in wanted]
    sys.stdout.write("\n".join(report(found, len(chosen))) + "\n")
    return 0 if len(found) == len(chosen) else 4


if __name__ == "__main__":
    sys.exit(main())
