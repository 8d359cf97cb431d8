"""The table of claims stands first on a page, says what each rests on, and counts statements and predictions only."""

from __future__ import annotations

from eval.claims import Claim
from eval.report.claims_section import add_claims, full_rows
from eval.report.page import Page
from eval.scores import Score

HOLDS = Claim(
    "one statement", "MK Fig. 1", "bits a neuron above 1", 2.0, "holds", (1.5, 2.5), tolerance=0.25,
    controls={"untrained": Score(0.1, 0.0, 0.2)}, family="capacity", p=0.04, uncorrected="holds", note="a note",
)  # fmt: skip
OURS = Claim("another", "here", "above 0", None, "cannot tell", note="nothing to measure", kind="prediction of ours")
THEOREM = Claim("a law", "Cover & Thomas", "0", 0.0, "fails", (0.0, 0.0), kind="theorem")


def page_of(*claims: Claim) -> Page:
    page = Page("demo")
    page.section("Chapter").table([{"claim": "of the chapter", "verdict": "holds"}])
    add_claims(page, list(claims))
    return page


def test_the_table_is_the_first_section_and_the_summary_lists_each_statement_once() -> None:
    page = page_of(HOLDS, OURS)
    assert [section.anchor for section in page.sections] == ["claims", "chapter"]
    html = page.html()
    assert "Statements: holds 1." in html and html.count("of the chapter") == 2


def test_the_head_counts_every_verdict_and_leaves_theorems_apart() -> None:
    html = page_of(HOLDS, OURS, THEOREM).html()
    for number, verdict in ((1, "holds"), (0, "holds, and so does its control"), (0, "fails"), (1, "cannot tell")):
        assert f"<b>{number}</b> {verdict}</span>" in html
    assert "Not counted: 0 of 1 theorems and self-tests pass." in html
    assert html.index("another") < html.index("Theorems and self-tests: not counted") < html.index("a law")
    assert "not counted" not in page_of(HOLDS).html().lower()
    assert "Statements of sources" not in page_of(THEOREM).html()


def test_a_row_says_what_the_verdict_rests_on() -> None:
    html = page_of(HOLDS, OURS).html()
    for words in ("MK Fig. 1", "bits a neuron above 1", "2 [1.5, 2.5]", "untrained 0.1 [0, 0.2]", "0.25", "capacity",
                  "0.04", "a note", "here (a prediction of ours)", "nothing to measure"):  # fmt: skip
        assert words in html, words
    assert full_rows([OURS])[0]["interval"] is None and full_rows([HOLDS])[0]["interval"] == [1.5, 2.5]


def test_a_page_without_a_statement_says_so() -> None:
    assert "No statement was judged." in page_of().html()


def test_runs_stand_beside_their_claims() -> None:
    page = Page("demo")
    add_claims(page, [HOLDS], ["runs/first"])
    assert "runs/first" in page.html() and "<th>run</th>" in page.html() and "<th>run</th>" not in page_of(HOLDS).html()
