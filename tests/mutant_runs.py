"""Runs one mutant in a fork: the changed source in place of the file's, the tests of its line, the first failure ends.

Heavy packages are imported once, before the forks; nothing on disk changes. Compiled kernels run through their Python
bodies. Property tests draw at most 25 examples, the same ones each time, and shrink none.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import importlib.machinery
import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.line_map import ROOT, SLOWEST_KERNEL_TEST, SLOWEST_TEST, Traced, Tracer, few_examples, read, write
from tests.mutations import Mutation, mutated

HEAVY = ("numpy", "torch", "scipy.stats", "sklearn.cluster", "hypothesis", "beartype", "jaxtyping", "pytest", "numba")
MODELS = ("torchvision", "transformers", "transformer_lens", "sae_lens", "matplotlib.figure")
TEST_SECONDS = 40.0
"""Tests of a mutant end here, by their times under the tracer; the quickest run first."""


def import_heavy(models: bool) -> None:
    """Import what every fork needs; the project's own modules are left to the forks."""
    for name in HEAVY:
        importlib.import_module(name)
    if models:
        importlib.import_module("eval.torchvision_operators").declare_missing_operators()
        for name in MODELS:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def kernels(path: Path) -> bool:
    """Whether a file holds compiled functions, which a mutant must run as Python."""
    source = path.read_text(encoding="utf-8")
    return "@compiled" in source or "@numba.njit" in source


@functools.cache
def candidates(path: Path) -> tuple[Path, ...]:
    """Test files of a module: its mirror, those of its room, and those of its wing that import it."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    package, _, stem = module.rpartition(".")
    folder = ROOT / "tests" / path.parent.relative_to(ROOT)
    importing = re.compile(rf"\b{re.escape(module)}\b|from {re.escape(package)} import .*\b{re.escape(stem)}\b")
    wing = sorted((ROOT / "tests" / path.relative_to(ROOT).parts[0]).rglob("test_*.py"))
    room = [test for test in wing if folder in test.parents and folder.name not in ("eval", "toy", "measures")]
    return tuple(
        test for test in wing if test in room or test.name == f"test_{path.stem}.py" and folder == test.parent
        or importing.search(test.read_text(encoding="utf-8"))
    )  # fmt: skip


class Recorder:
    """A pytest plugin: runs the tests asked for in that order, with few examples, and notes which passed."""

    def __init__(self, wanted: list[str]) -> None:
        self.wanted = {name: place for place, name in enumerate(wanted)}
        self.passed, self.failed, self.seconds = 0, "", 0.0

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        named = [
            (self.wanted.get(item.nodeid, self.wanted.get(item.nodeid.partition("::")[0])), item) for item in items
        ]
        items[:] = [
            item for _, item in sorted((pair for pair in named if pair[0] is not None), key=lambda pair: pair[0])
        ]
        for item in items:
            few_examples(item)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.seconds += report.duration
        self.passed += report.when == "call" and report.passed
        if report.failed:
            self.failed = report.nodeid


def read_in_place_of(path: Path, source: bytes) -> None:
    """From now on, in this process, importing the file at `path` compiles `source`."""
    loader = importlib.machinery.SourceFileLoader
    usual_data, usual_stats = loader.get_data, loader.path_stats

    def get_data(self: Any, place: str) -> bytes:
        return source if Path(place) == path else usual_data(self, place)

    def path_stats(self: Any, place: str) -> Any:
        return {"mtime": 0, "size": len(source)} if Path(place) == path else usual_stats(self, place)

    loader.get_data, loader.path_stats = get_data, path_stats  # type: ignore[method-assign]


def run_pytest(tests: list[str], plugin: Any, *more: str) -> int:
    """Run test files or tests under one plugin and nothing of the repository's usual options."""
    import pytest

    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:timeout", "--hypothesis-seed=0"]
    arguments += ["-o", "addopts=--import-mode=importlib", "-m", "not slow and not benchmark", *more, *tests]
    return int(pytest.main(arguments, plugins=[plugin]))


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
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@dataclass(frozen=True)
class Chosen:
    """The tests that a mutant meets, in order, and the seconds they take together."""

    tests: list[str]
    seconds: float
    hit: bool


class Runner:
    """Runs mutants; the line maps of test files are read from `maps` or made there."""

    def __init__(self, folder: Path, maps: Path, watched: set[str]) -> None:
        self.folder, self.maps, self.watched = folder, maps, watched
        self.traced: dict[tuple[Path, bool], dict[str, Traced]] = {}
        maps.mkdir(parents=True, exist_ok=True)

    def _start(self, body: Callable[[], None], python_kernels: bool, limit: float) -> bool:
        def work() -> None:
            import numba
            import numba.extending

            os.chdir(ROOT)
            if python_kernels:
                numba.config.DISABLE_JIT = True  # type: ignore[attr-defined]
                os.environ["NUMBA_DISABLE_JIT"] = "1"
                numba.extending.intrinsic = lambda _: lambda word: int(word).bit_count()  # `popcount` is the only one
            body()

        return wait(fork(work, self.folder / f"log-{os.getpid()}.txt"), limit)

    def trace(self, test: Path, python_kernels: bool) -> dict[str, Traced]:
        """The line map of a test file."""
        if (test, python_kernels) not in self.traced:
            slug = str(test.relative_to(ROOT)).replace("/", "+").removesuffix(".py")
            place = self.maps / f"{slug}{'+python' if python_kernels else ''}.json"
            with place.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                found = read(place, test)
                if found is None:
                    self._write_trace(test, place, python_kernels)
                    found = read(place, test)
            self.traced[test, python_kernels] = found or {}
        return self.traced[test, python_kernels]

    def _write_trace(self, test: Path, place: Path, python_kernels: bool) -> None:
        tracer = Tracer(self.watched, SLOWEST_KERNEL_TEST if python_kernels else SLOWEST_TEST)

        def body() -> None:
            run_pytest([str(test)], tracer)
            write(tracer, place, test)

        self._start(body, python_kernels, 1200)

    def choose(self, path: Path, mutation: Mutation) -> Chosen:
        """Tests that execute the line, quickest first, then the others that execute the file, up to a time."""
        name, python = str(path.relative_to(ROOT)), kernels(path)
        ranked = []
        for test in candidates(path):
            for node, one in self.trace(test, python).items():
                lines = one.lines.get(name, set())
                hit = not lines.isdisjoint(mutation.reach) if mutation.reach else bool(lines)
                if lines:
                    ranked.append((not hit, one.seconds, node))
        ranked.sort()
        chosen, total = list[str](), 0.0
        for miss, seconds, node in ranked:
            if total + seconds <= TEST_SECONDS and not (miss and total > TEST_SECONDS / 4):
                chosen.append(node)
                total += seconds
        return Chosen(chosen, total, any(not miss for miss, _, _ in ranked))

    def run(self, path: Path, mutation: Mutation) -> tuple[str, str]:
        """The verdict on a mutant and the test that killed it."""
        chosen = self.choose(path, mutation)
        if not chosen.hit or not chosen.tests:
            return "no test", ""
        return self.verdict(path, mutated(path.read_text(encoding="utf-8"), mutation), chosen.tests, chosen.seconds)

    def whole(self, path: Path, source: str, tests: str) -> tuple[str, str]:
        """The same for a whole test file, however long it takes."""
        return self.verdict(path, source, [tests], 200.0)

    def verdict(self, path: Path, source: str, tests: list[str], seconds: float) -> tuple[str, str]:
        """Whether tests kill a changed source of a file."""
        answer = self.folder / f"answer-{os.getpid()}.json"
        answer.unlink(missing_ok=True)
        recorder = Recorder(tests)

        def body() -> None:
            read_in_place_of(path, source.encode())
            status = run_pytest(sorted({test.partition("::")[0] for test in tests}), recorder, "-x")
            answer.write_text(json.dumps([status, recorder.passed, recorder.failed]))

        ended = self._start(body, kernels(path), 40 + 3 * seconds)
        if not ended:
            return "timeout", ""
        if not answer.exists():
            return "killed", "the process died"
        status, passed, failed = json.loads(answer.read_text())
        if status == 0 and passed < len(tests):
            return "survived", f"only {passed} of {len(tests)} tests ran"
        return ("survived", "") if status == 0 else ("killed", failed or f"status {status}")
