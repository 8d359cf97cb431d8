"""Primes and primitive roots, in plain arithmetic: what the options of the one-way code check before any work."""

from __future__ import annotations

from collections.abc import Sequence

from eval.errors import UserError

LARGEST_PRIME = 1000


def is_prime(number: int) -> bool:
    """Trial division; enough for toy primes."""
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def check_primes(primes: Sequence[int]) -> tuple[int, ...]:
    """The primes themselves; one line for a number that is not prime, too large to tabulate, or given twice."""
    for prime in primes:
        if prime > LARGEST_PRIME:
            raise UserError(f"expected primes from 3 to {LARGEST_PRIME}; got {prime}; every triple is tabulated")
        if not is_prime(prime):
            raise UserError(f"expected primes; got {prime}, which is not prime; choose e.g. 11+13+17")
        if prime < 3:
            raise UserError(f"expected primes from 3 to {LARGEST_PRIME}; got {prime}; every triple is tabulated")
        if list(primes).count(prime) > 1:
            raise UserError(f"expected distinct primes; got {prime} twice; leave one out")
    return tuple(primes)


def parse_primes(text: str) -> tuple[int, ...]:
    """`11+13+17` as (11, 13, 17), all prime and distinct."""
    parts = [part.strip() for part in text.split("+")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError(f"expected primes joined by +; got {text!r}; write e.g. 11+13+17")
    return check_primes([int(part) for part in parts])


def primitive_roots(prime: int) -> list[int]:
    """Generators of the multiplicative group modulo `prime`."""
    return [g for g in range(1, prime) if len({pow(g, x, prime) for x in range(1, prime)}) == prime - 1]


def n_triples(primes: Sequence[int]) -> int:
    """How many (p, g, x) there are: (p - 1) exponents for each of the phi(p - 1) primitive roots of each prime."""
    return sum((p - 1) * _totient(p - 1) for p in primes)


def _totient(number: int) -> int:
    """Numbers below it that share no factor with it (Euler)."""
    out, rest, factor = number, number, 2
    while rest > 1:
        if rest % factor == 0:
            out -= out // factor
            while rest % factor == 0:
                rest //= factor
        factor += 1
    return out
