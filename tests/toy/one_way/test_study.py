"""The arithmetic, the ceiling, and the positive control."""

import pytest
import torch

from eval.errors import UserError
from toy.one_way.primes import is_prime, n_triples, parse_primes, primitive_roots
from toy.one_way.probes import layer_codes, probe, train_network
from toy.one_way.problem import problem_of


def test_primes_and_primitive_roots() -> None:
    assert [n for n in range(30) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert primitive_roots(7) == [3, 5]
    assert len(primitive_roots(23)) == 10  # Euler's phi(22)


def test_the_table_is_right_and_a_bijection_for_every_group() -> None:
    problem = problem_of([5, 7])
    assert len(problem.values) == 2 * 4 + 2 * 6 == n_triples([5, 7])
    assert n_triples([23]) == 10 * 22
    for (p, g), x, y in zip(problem.groups.tolist(), problem.exponents.tolist(), problem.values.tolist(), strict=True):
        assert y == g**x % p
    for group in problem.groups.unique(dim=0):
        inside = (problem.groups == group).all(1)
        assert len(problem.values[inside].unique()) == int(group[0]) - 1


def test_bayes_ceiling_is_one_for_a_fixed_group_and_less_where_groups_vary() -> None:
    assert problem_of([11], fixed_root=True).bayes_ceiling() == 1
    varying = problem_of([5, 7])
    best = {}
    for x, y in zip(varying.exponents.tolist(), varying.values.tolist(), strict=True):
        best.setdefault(y, []).append(x)
    expected = sum(max(xs.count(x) for x in xs) for xs in best.values()) / len(varying.values)
    assert varying.bayes_ceiling() == pytest.approx(expected)
    assert varying.chance() < varying.bayes_ceiling() < 1


def test_positive_control_a_linear_probe_reads_x_for_a_fixed_group() -> None:
    problem = problem_of([11], fixed_root=True)
    network, accuracy = train_network(problem, width=32, layers=2, steps=200, seed=0)
    assert accuracy == 1
    every = torch.arange(10)
    codes = layer_codes(network, problem.inputs)
    assert [tuple(code.shape) for code in codes] == [(10, 32), (10, 32), (10, 11)]
    assert probe(codes[-1], problem.exponents, every, every, kind="linear", budgets=[5, 300], seed=0)[-1] == 1


def test_a_probe_of_noise_stays_near_chance_on_held_out_triples() -> None:
    noise = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(400) % 10
    accuracy = probe(noise, labels, torch.arange(300), torch.arange(300, 400), kind="mlp", budgets=[100], seed=0)[0]
    assert accuracy < 0.3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("11+12", "expected primes; got 12, which is not prime"),
        ("1", "expected primes; got 1, which is not prime"),
        ("2+3", "expected primes from 3 to 1000; got 2"),
        ("5+1009", "expected primes from 3 to 1000; got 1009"),
        ("5+7+5", "expected distinct primes; got 5 twice"),
        ("eleven", "expected primes joined by .; got 'eleven'"),
    ],
)
def test_primes_that_are_not_are_one_line(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse_primes(text)
