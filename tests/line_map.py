"""Which test executes which lines: each test file is run once under a tracer, and the answer is kept on disk.

A mutant then meets only the tests that execute its line, the quickest first. The answer of a test file is read back
while neither it nor any traced file that it executed has changed (both are kept by their hashes), so a changed test
is traced again and nothing else is.

Lines executed while a fixture is set up count for every test of the file: the fixture may be shared.
"""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SLOWEST_TEST, SLOWEST_KERNEL_TEST = 8, 3
"""Seconds of computing under the tracer; a slower test is left out (kernels are slow as Python)."""
CALLS_TRACED, LINES_TRACED = 30, 2000
"""A function's calls in one test, and lines in one call, after which it is no longer traced: hot loops repeat."""


def digest(path: Path) -> str:
    """Hash of a file's text, empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


EXAMPLES = 25
"""Of a property test."""


@dataclass
class Traced:
    """One test: seconds of computing it took under the tracer and the lines it executed, by file."""

    seconds: float = 0.0
    lines: dict[str, set[int]] = field(default_factory=dict)


def few_examples(item: Any) -> None:
    """A property test draws few examples and shrinks none."""
    import hypothesis

    inner = getattr(item, "obj", None)
    usual = getattr(inner, "_hypothesis_internal_use_settings", None)
    if usual is not None:
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        few = min(EXAMPLES, usual.max_examples)
        inner._hypothesis_internal_use_settings = hypothesis.settings(  # type: ignore[union-attr]
            usual, max_examples=few, phases=phases, database=None, deadline=None
        )


class Tracer:
    """A pytest plugin that notes, for each test, the lines of the watched files that it executes."""

    def __init__(self, watched: set[str], slowest: float = SLOWEST_TEST) -> None:
        self.watched, self.slowest = watched, slowest
        self.names: dict[Any, str | None] = {}
        self.tests: dict[str, Traced] = {}
        self.shared: dict[str, set[int]] = {}
        self.passed = set[str]()
        self.seen: dict[str, set[int]] = {}
        self.calls: dict[Any, int] = {}

    def name(self, code: Any) -> str | None:
        if code not in self.names:
            path = code.co_filename.removeprefix(f"{ROOT}/")
            self.names[code] = path if path in self.watched else None
        return self.names[code]

    def enter(self, frame: Any, event: str, _: Any) -> Any:
        code = frame.f_code
        name = self.name(code)
        calls = self.calls.get(code, 0)
        if name is None or calls >= CALLS_TRACED:
            return None
        self.calls[code] = calls + 1
        seen, budget = self.seen.setdefault(name, set()), LINES_TRACED

        def line(frame: Any, event: str, _: Any) -> Any:
            nonlocal budget
            if event == "line":
                seen.add(frame.f_lineno)
                budget -= 1
            if budget <= 0:
                frame.f_trace_lines = False
            return line

        return line

    def _watch(self) -> None:
        self.seen, self.calls = {}, {}
        threading.settrace(self.enter)
        sys.settrace(self.enter)

    def _rest(self) -> dict[str, set[int]]:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
        return self.seen

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            few_examples(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: Any) -> Iterator[Any]:
        self._watch()
        try:
            yield
        finally:
            for name, lines in self._rest().items():
                self.shared.setdefault(name, set()).update(lines)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[Any]:
        signal.signal(signal.SIGPROF, lambda *_: pytest.fail("too slow to be of use against mutants"))
        signal.setitimer(signal.ITIMER_PROF, self.slowest)
        self._watch()
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.tests.setdefault(item.nodeid, Traced()).lines = self._rest()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[Any]:
        start = time.process_time()
        try:
            return (yield)
        finally:
            self.tests.setdefault(item.nodeid, Traced()).seconds = time.process_time() - start

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)


def write(tracer: Tracer, place: Path, test: Path) -> None:
    """Keep what a tracer saw of a test file, with the hashes that it stands on."""
    kept = {name: one for name, one in tracer.tests.items() if name in tracer.passed}
    touched = {name for one in kept.values() for name in one.lines} | set(tracer.shared)
    content = {
        "test": digest(test),
        "sources": {name: digest(ROOT / name) for name in sorted(touched)},
        "shared": {name: sorted(lines) for name, lines in tracer.shared.items()},
        "tests": {
            name: {"seconds": one.seconds, "lines": {file: sorted(lines) for file, lines in one.lines.items()}}
            for name, one in kept.items()
        },
    }
    place.write_text(json.dumps(content))


def read(place: Path, test: Path) -> dict[str, Traced] | None:
    """The tests of a file as they were traced, None where something has changed since."""
    if not place.exists():
        return None
    content = json.loads(place.read_text())
    if content["test"] != digest(test):
        return None
    if any(digest(ROOT / name) != value for name, value in content["sources"].items()):
        return None
    found = {}
    for name, one in content["tests"].items():
        lines = {file: set(seen) for file, seen in one["lines"].items()}
        for file, seen in content["shared"].items():
            lines[file] = lines.get(file, set()) | set(seen)
        found[name] = Traced(one["seconds"], lines)
    return found
