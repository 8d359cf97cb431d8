"""What a command says while it works: bars on a terminal, a plain line every 30 s elsewhere, and single lines.

Everything goes through the logger `neural_codes` of the standard `logging` module, to stderr; results never do. A
script can route it (`logging.getLogger("neural_codes").addHandler(...)`), `-q` and `-v` set its level. The levels of
other libraries are left alone.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LINE_SECONDS = 30.0
"""Where stderr is no terminal (nohup, a notebook, a batch system): seconds between two lines."""
LOGGER = logging.getLogger("neural_codes")


class _Stderr(logging.StreamHandler[Any]):
    """Writes to whatever `sys.stderr` is at the time (a notebook and a test replace it)."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sys.stderr


if not LOGGER.handlers:
    LOGGER.addHandler(_Stderr())
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # one line once, also where the user's script has configured the root logger


class Bar(Protocol):
    """What `progress_bar` gives: advance it by hand."""

    def update(self, n: float = 1) -> Any: ...


class _Count:
    """A bar that is not drawn: counted here, said in lines."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done: float = 0
        self.started = time.monotonic()
        self._mark: tuple[float, float] | None = None

    def update(self, n: float = 1) -> None:
        self.done += n

    def mark(self) -> None:
        """Count the rate from here: what a continued run had done before is no speed of this one."""
        self._mark = self._mark or (time.monotonic(), self.done)

    def line(self) -> str:
        """`sites: 3 of 12 sites (25%), 0.5 sites/s, 18 s left`."""
        since, before = self._mark or (self.started, 0.0)
        seconds = time.monotonic() - self.started
        rate = (self.done - before) / max(time.monotonic() - since, 1e-9)
        speed = f"{rate:.3g} {self.unit}/s" if rate >= 0.1 or not rate else f"{1 / rate:.3g} s per {self.unit}"
        if not self.total:
            return f"{self.label}: {self.done:,.0f} {self.unit} in {duration(seconds)}, {speed}"
        share = f"{self.done:,.0f} of {self.total:,} {self.unit} ({self.done / self.total:.0%})"
        left = f"{duration((self.total - self.done) / rate)} left" if rate else "no estimate yet"
        return f"{self.label}: {share}, {speed}, {left}"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Ticker:
    """Says, every `LINE_SECONDS` in which nothing else was said, how far the innermost bar is."""

    def __init__(self) -> None:
        self.bars: list[_Count] = []
        self.hidden = False
        self.note = ""
        self.started = time.monotonic()
        self.last_line = time.monotonic()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None and not self.hidden:
            self._thread = threading.Thread(target=self._tick, daemon=True, name="progress")
            self._thread.start()

    def _tick(self) -> None:
        while True:
            for bar in list(self.bars):
                bar.mark()
            silent = time.monotonic() - self.last_line
            if silent < LINE_SECONDS:
                time.sleep(min(LINE_SECONDS - silent, 1.0))
                continue
            if (line := self.line()) and not self.hidden:
                LOGGER.info(line)
            self.last_line = time.monotonic()

    def line(self) -> str:
        bars = list(self.bars)
        if bars:
            return bars[-1].line()
        return f"{self.note}: {duration(time.monotonic() - self.started)} so far" if self.note else ""


_ticker = _Ticker()


def hide_bars() -> None:
    """No bars and no lines of progress from this process on (workers, whose bars would overwrite each other)."""
    _ticker.hidden = True


def watch(name: str) -> None:
    """From here on a line every 30 s says that `name` is at work, where no bar says more and stderr is no terminal."""
    _ticker.note, _ticker.started = name, time.monotonic()
    if name and not _is_terminal():
        _ticker.start()


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Only warnings and errors, or everything with the time of day; by default what a person wants to read."""
    LOGGER.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    layout = "%(asctime)s %(message)s" if verbose else "%(message)s"
    for handler in LOGGER.handlers:
        if isinstance(handler, _Stderr):
            handler.setFormatter(logging.Formatter(layout))


@contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Only errors of other libraries' loggers within the block; their levels are put back as they were."""
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # no stderr, or one that was closed
        return False


def progress(items: Iterable[Item], *, label: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Iterate, showing rate and ETA: a bar on a terminal, a line every 30 s elsewhere."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with progress_bar(label=label, total=total, unit=unit) as bar:
        for item in items:
            yield item
            bar.update(1)


@contextmanager
def progress_bar(*, label: str, total: int | None, unit: str) -> Iterator[Bar]:
    """A bar to advance by hand (`bar.update(n_tokens)`), for units other than items."""
    if _is_terminal() and not _ticker.hidden and LOGGER.isEnabledFor(logging.INFO):
        with tqdm(desc=label, total=total, unit=unit, unit_scale=True, file=sys.stderr, leave=False) as bar:
            yield bar
        return
    count = _Count(label, total, unit)
    _ticker.bars.append(count)
    _ticker.start()
    try:
        yield count
    finally:
        _ticker.bars.remove(count)


def say(text: str, level: int = logging.INFO) -> None:
    """One line for the person at the terminal (stderr); results never go here.

    A text that begins with `warning:` or `error:` is of that level, so that `-q` keeps it.
    """
    for word, marked in (("warning:", logging.WARNING), ("error:", logging.ERROR)):
        if text.startswith(word):
            level = max(level, marked)
    _ticker.last_line = time.monotonic()
    LOGGER.log(level, "%s", text.rstrip("\n"))


def say_cut(flag: str, asked: int, there: int, of: str) -> None:
    """Say that more was asked for than there is, and what is used: never a cut without a word.

    Args:
        flag: the option, `--edges-per-output`. of: what there is of it, `features of the first dictionary`.
    """
    if asked > there:
        say(f"note: {flag} {asked:,}: there are {there:,} {of}; all of them are used")
