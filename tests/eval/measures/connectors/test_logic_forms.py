"""Planted Boolean forms under noise: named right, and hardly ever named falsely."""

import numpy as np
import pytest

from eval.errors import UserError
from eval.measures.connectors.logic_forms import LogicForm, logic_forms, retest_forms

N_GENERATORS = 20
N_CHILDREN = 12
KINDS = ("or", "and", "and-not", "k-of-n", "nothing", "hidden parent")


def generator_of(seed):
    """12 children of 4 parents each (active on 15% of 4,000 to 8,000 tokens); up to 10% of true firings are missed and
    up to 1% of tokens fire spuriously; a third of the children follow no form of their parents."""
    random = np.random.default_rng(seed)
    n_tokens = 4000 + int(random.integers(4000))
    missed, spurious = 0.1 * random.random(), 0.01 * random.random()
    children, truth = {}, {}
    for child in range(N_CHILDREN):
        parents = random.random((n_tokens, 4)) < 0.15
        n = 2 + int(random.integers(2))
        kind = KINDS[child % len(KINDS)]
        fires, form = {
            "or": (parents[:, :n].any(1), ("or", tuple(range(n)))),
            "and": (parents[:, :2].all(1), ("and", (0, 1))),
            "and-not": (parents[:, 0] & ~parents[:, 1], ("and-not", (0, 1))),
            "k-of-n": (parents[:, :3].sum(1) >= 2, ("k-of-n", (0, 1, 2))),
            "nothing": (random.random(n_tokens) < 0.15, None),
            # fires with the parents more often than not, but decided by something else
            "hidden parent": (parents[:, 0] & (random.random(n_tokens) < 0.45), None),
        }[kind]
        fires = (fires & (random.random(n_tokens) >= missed)) | (random.random(n_tokens) < spurious)
        children[child], truth[child] = (fires, parents, range(4)), form
    return children, truth


def test_planted_forms_are_named_and_false_discoveries_are_rare():
    named_right, false_shares = [], []
    for seed in range(N_GENERATORS):
        children, truth = generator_of(seed)
        named = {c: next((f for f in forms if f.named), None) for c, forms in logic_forms(children).items()}
        right = {c: f is not None and truth[c] == (f.kind, f.parents) for c, f in named.items()}
        named_right += [right[c] for c in truth if truth[c]]
        found = [c for c, f in named.items() if f is not None]
        false_shares.append(np.mean([not right[c] for c in found]) if found else 0.0)
    assert np.mean(named_right) >= 0.95
    assert np.mean(false_shares) <= 0.05


def test_a_positive_row_alone_does_not_prove_an_or():
    """b fires only together with a: the row may well read 0.5 a + 0.5 b, yet nothing shows that b alone suffices."""
    random = np.random.default_rng(0)
    a = random.random(5000) < 0.2
    b = a & (random.random(5000) < 0.5)
    forms = logic_forms({0: (a.copy(), np.stack([a, b], 1), (7, 8))})[0]
    assert "or" not in {form.kind for form in forms}
    assert [form.kind for form in forms if form.named] == ["single"]
    assert next(form for form in forms if form.named).words({7: "IF_7"}) == "IF_7"


def test_documents_are_what_counts():
    """Ten documents, each all on or all off: 5,000 tokens are ten observations, not 5,000."""
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(10), 500)
    a = random.random(5000) < 0.3
    fires = a & np.isin(groups, [0, 1, 2, 3, 4, 5])
    children = {0: (fires, a[:, None], (0,))}
    by_token = logic_forms(children)[0][0]
    by_document = logic_forms(children, groups=groups)[0][0]
    assert by_token.adjusted < 1e-6
    assert by_document.adjusted > 0.05 and not by_document.named


def test_words_precision_recall_support():
    a = np.repeat([True, False, True, False], 100)
    b = np.repeat([True, True, False, False], 100)
    form = logic_forms({0: (a & ~b, np.stack([a, b], 1), (3, 5))})[0][0]
    assert form.words({3: "said", 5: "quote"}) == "said AND NOT quote"
    assert (form.precision, form.recall, form.support, form.named) == (1.0, 1.0, 100, True)


def test_an_unseen_critical_cell_leaves_the_form_untested():
    a = np.zeros(100, dtype=bool)
    assert logic_forms({0: (a, a[:, None], (0,))})[0] == []


def test_errors():
    a = np.zeros((10, 7), dtype=bool)
    with pytest.raises(UserError, match="expected at most 6 parents; got 7 for 0; pass the strongest edges"):
        logic_forms({0: (a[:, 0], a, range(7))})
    with pytest.raises(UserError, match="expected correction"):
        logic_forms({}, correction="none")


def test_named_forms_are_tested_again_as_they_stand():
    """True forms keep their name on fresh draws; one that the fresh text contradicts, or cannot show, loses it."""
    random = np.random.default_rng(3)
    a, b = (random.random(6000) < 0.2 for _ in range(2))
    groups = np.arange(6000) // 300
    both = np.stack([a, b], 1)
    nan = float("nan")
    either = LogicForm("or", (7, 8), 1, nan, nan, 0, nan)
    only = LogicForm("and-not", (7, 8), 1, nan, nan, 0, nan)
    alone = LogicForm("single", (7,), 1, nan, nan, 0, nan)
    never = np.zeros_like(both)
    found = retest_forms(
        [(either, a | b, both), (only, a & ~b, both), (only, a, both), (alone, a, both[:, :1]), (either, a | b, never)],
        groups=groups,
    )
    assert [form.named for form in found] == [True, True, False, True, False]
    assert found[0].precision == found[0].recall == 1 and found[0].support == (a | b).sum()
    assert found[4].support == -1 and found[4].adjusted == 1
    swapped = retest_forms([(LogicForm("and-not", (8, 7), 1, nan, nan, 0, nan), b & ~a, both[:, ::-1])], groups=groups)
    assert swapped[0].named and swapped[0].parents == (8, 7)


def test_a_cell_seen_as_often_as_the_minimum_is_tested_and_one_firing_is_all_of_it():
    a = np.repeat([True, False], [10, 90])
    fires = np.arange(100) == 0
    form = logic_forms({0: (fires, a[:, None], (0,))}, minimum_support=10)[0][0]
    assert (form.precision, form.recall, form.support) == (0.1, 1.0, 10)
    assert logic_forms({0: (fires, a[:, None], (0,))}, minimum_support=11)[0] == []
    never = logic_forms({0: (np.zeros(100, bool), a[:, None], (0,))})[0][0]
    assert (never.precision, never.recall) == (0.0, 0.0)
