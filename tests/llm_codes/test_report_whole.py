"""The report, every chapter, on a file with two text columns and odd fit ranges: what was asked for is what is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.claims import claims_in
from eval.measures.spectra.power_law import fit_power_law
from llm_codes.__main__ import main
from llm_codes.documents import sotu_documents

FLAGS = ["--fit-first", "5", "--fit-last", "30", "--exclude-positions", "0", "--tokens", "20000", "--threads", "1"]
CHAPTERS = ("spectra", "trajectories", "polytopes", "circuits", "explain")


@pytest.mark.slow
def test_every_chapter_reads_the_column_and_the_ranges_that_were_asked_for(tmp_path: Path, capsys) -> None:
    texts = [document.text for document in sotu_documents()]
    rows = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": f"wrong {number}", "body": text}) for number, text in enumerate(texts)]
    rows.write_text("\n".join(lines), encoding="utf-8")
    columns = ["--corpus", str(rows), "--text-column", "body"]
    status = main(["report", "--model", "embedded", *columns, *FLAGS, "--out", str(tmp_path / "run")])
    said = capsys.readouterr()
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    chapters = results["chapters"]
    assert {name: chapters[name]["status"] for name in CHAPTERS} == dict.fromkeys(CHAPTERS, "done"), said.err
    assert status == 0 and "Traceback" not in said.err, said.err
    for name in CHAPTERS:
        read = chapters[name]["provenance"]
        assert (read["exclude_positions"], read["corpus"]["n_documents"]) == (0, len(texts)), name
    with np.load(tmp_path / "run" / "arrays" / "eigenvalues-model.npz") as eigenvalues:
        for site in results["sites"]:
            fitted = fit_power_law(eigenvalues[site["site"]], (5, 30))
            assert site["alpha"] == pytest.approx(fitted.exponent, abs=1e-12), site["site"]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "wrong 3" not in page
    assert page.index("<h2>Statements and verdicts</h2>") < page.index("<h2>What was read</h2>")
    assert all(claim.claim in page for claim in claims_in(results)) and list(claims_in(results))
