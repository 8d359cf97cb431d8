"""Do the tests notice? Seeded mutants of the measures, claims and statistics files, each against its own tests.

    make mutants                    500 mutants, a share of each file; the surviving share at the end
    python tests/mutants.py --count 30 --workers 1 --out runs/mutants-30
    python tests/mutants.py --count 30 --out runs/mutants-30 --again     the survivors once more, after new tests

A mutant is one small change of a syntax tree (`tests/mutations.py`). It meets the tests that execute its line
(`tests/line_map.py`) in a fork (`tests/mutant_runs.py`): *killed* where one fails, *timeout* where they take three
times their usual time, *survived* where all pass, *no test* where none executes the line (it survives too).
*Equivalent* is a survivor that changes nothing anyone could see; `tests/mutants_equivalent.toml` says why, and the
share is stated with and without them.

Why not a package: mutmut puts every function behind a trampoline, which numba cannot compile and the shape checks of
the tests cannot wrap; cosmic-ray edits the working tree and knows one test command for all files. Here torch is
imported once, every mutant is a fork that reads its own source in place of the file's, and nothing on disk changes.

The record (`mutants.jsonl`) is read back: the same command continues.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tests.line_map import digest  # noqa: E402
from tests.mutant_runs import Runner, fork, import_heavy, kernels  # noqa: E402
from tests.mutations import Mutation, mutations  # noqa: E402

WINGS = ("eval", "llm_codes", "vision_codes", "toy")
EQUIVALENT = ROOT / "tests" / "mutants_equivalent.toml"
ALIVE = ("survived", "no test")


@dataclass(frozen=True)
class Outcome:
    """One mutant and what became of it: `killed`, `timeout`, `survived` or `no test`, and by which test or why."""

    file: str
    source: str
    line: int
    change: str
    number: int
    verdict: str
    seconds: float
    reason: str = ""

    @property
    def text(self) -> str:
        """The source line."""
        return (ROOT / self.file).read_text(encoding="utf-8").splitlines()[self.line - 1].strip()


def files() -> list[Path]:
    """Every file of a measure, every `claims` and `statistics` file, and the rules of the verdicts."""
    found = [*(ROOT / "eval/measures").rglob("*.py"), ROOT / "eval/polytope_verdicts.py", ROOT / "eval/verdicts.py"]
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


def work_through(todo: list[tuple[Path, Mutation]], out: Path, end: float) -> None:
    """Run the mutants of one worker, file by file, kernels last, and append each outcome to the record."""
    watched = {str(path.relative_to(ROOT)) for path in files()}
    with tempfile.TemporaryDirectory() as folder, (out / "mutants.jsonl").open("a", buffering=1) as record:
        runner = Runner(Path(folder), ROOT / "runs" / "mutants-line-maps", watched)
        for path, mutation in sorted(todo, key=lambda one: (kernels(one[0]), str(one[0]), one[1].line)):
            if time.monotonic() > end:
                break
            start = time.monotonic()
            verdict, reason = runner.run(path, mutation)
            seconds = round(time.monotonic() - start, 1)
            name = str(path.relative_to(ROOT))
            outcome = Outcome(
                name, digest(path), mutation.line, mutation.change, mutation.number, verdict, seconds, reason
            )
            record.write(json.dumps(asdict(outcome)) + "\n")


def outcomes(out: Path) -> dict[tuple[str, int], Outcome]:
    """The latest outcome of each mutant of a record whose file is as it was."""
    place = out / "mutants.jsonl"
    lines = place.read_text().splitlines() if place.exists() else []
    found = {(one["file"], one["number"]): Outcome(**one) for one in map(json.loads, lines)}
    now = {name: digest(ROOT / name) for name in {name for name, _ in found}}
    return {key: one for key, one in found.items() if one.source == now[one.file]}


def without_equivalent(found: list[Outcome]) -> list[Outcome]:
    """The outcomes with the verdict `equivalent` and its reason where a survivor is listed as one."""
    listed = tomllib.loads(EQUIVALENT.read_text()).get("mutant", []) if EQUIVALENT.exists() else []
    reasons = {(one["file"], one["line"], one["change"]): one["reason"] for one in listed}
    return [
        replace(one, verdict="equivalent", reason=reasons[one.file, one.text, one.change])
        if one.verdict in ALIVE and (one.file, one.text, one.change) in reasons
        else one
        for one in found
    ]


def group(name: str) -> str:
    """A measure's room; `claims and statistics` for the rest."""
    parts = name.split("/")
    return "/".join(parts[:3]) if parts[1] == "measures" and len(parts) > 3 else "claims and statistics"


def report(found: list[Outcome], asked: int) -> Iterator[str]:
    """The survivors by file, then the counts by group, then the share."""
    found = sorted(without_equivalent(found), key=lambda one: (one.file, one.line))
    for one in found:
        if one.verdict in (*ALIVE, "equivalent"):
            yield f"{one.verdict:10} {one.file}:{one.line}  {one.change}  | {one.text}  {one.reason}"
    verdicts = ("killed", "timeout", "survived", "no test", "equivalent")
    yield f"{'':28}" + "".join(f"{verdict:>12}" for verdict in verdicts)
    for name in [*sorted({group(one.file) for one in found}), "all"]:
        counts = Counter(one.verdict for one in found if name in ("all", group(one.file)))
        yield f"{name:28}" + "".join(f"{counts[verdict]:12d}" for verdict in verdicts)
    alive = sum(one.verdict in ALIVE for one in found)
    equivalent = sum(one.verdict == "equivalent" for one in found)
    share, whole = alive / max(1, len(found) - equivalent), (alive + equivalent) / max(1, len(found))
    yield (
        f"{len(found)} of {asked} mutants run: {alive} of {len(found) - equivalent} survive ({share:.1%}); "
        f"{alive + equivalent} of {len(found)} ({whole:.1%}) with the {equivalent} listed as equivalent"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=500, help="mutants in the sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--minutes", type=float, default=240, help="start no mutant after this long")
    parser.add_argument("--out", type=Path, default=Path("runs/mutants"), help="folder of the record")
    parser.add_argument("--only", default="", help="only files whose path holds these words")
    parser.add_argument("--again", action="store_true", help="run the survivors of the record again")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["PYTHONPATH"] = str(ROOT)
    chosen = [one for one in sample(options.count, options.seed) if options.only in str(one[0])]
    again = without_equivalent(list(outcomes(options.out).values())) if options.again else []
    repeated = {(one.file, one.number) for one in again if one.verdict in ALIVE}
    done = outcomes(options.out).keys() - repeated
    wanted = [(str(path.relative_to(ROOT)), mutation.number) for path, mutation in chosen]
    todo = [one for one, key in zip(chosen, wanted, strict=True) if key not in done]
    if todo:
        import_heavy(any(not path.is_relative_to(ROOT / "eval/measures") for path, _ in todo))
    end = time.monotonic() + 60 * options.minutes
    order = sorted({path for path, _ in todo}, key=lambda path: (kernels(path), path))
    shares = [[one for one in todo if order.index(one[0]) % options.workers == k] for k in range(options.workers)]
    workers = [fork(lambda share=share: work_through(share, options.out, end), options.out / f"log-{k}.txt")
               for k, share in enumerate(shares) if share]  # fmt: skip
    for worker in workers:
        os.waitpid(worker, 0)
    record = outcomes(options.out)
    found = [record[key] for key in wanted if key in record]
    sys.stdout.write("\n".join(report(found, len(chosen))) + "\n")
    return 0 if len(found) == len(chosen) else 4


if __name__ == "__main__":
    sys.exit(main())
