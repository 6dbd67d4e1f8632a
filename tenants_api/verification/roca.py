"""RSA keys that can be computed from their public part: CVE-2017-15361 ("ROCA"). Knows numbers only.

The library made primes `k * M + (65537 ** a mod M)`, with M the product of the first 126 primes for keys of 2048 bits
and of more for longer ones. So the modulus is a power of 65537 modulo each of those small primes, which other keys are
not (Nemec, Sys, Svenda, Klinec, Matyas: The Return of Coppersmith's Attack, 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

_GENERATOR = 65537
_LARGEST_PRIME = 701  # the 126th


def is_guessable(modulus: int) -> bool:
    """Whether a modulus of 2048 bits or more has the shape that the flawed library gives its keys."""
    return all(modulus % prime in powers for prime, powers in _powers().items())


@cache
def _powers() -> dict[int, frozenset[int]]:
    """For each small prime: the powers of the generator."""
    return {prime: frozenset(_powers_modulo(prime)) for prime in range(3, _LARGEST_PRIME + 1) if _is_prime(prime)}


def _powers_modulo(prime: int) -> Iterator[int]:
    power = 1
    while True:
        yield power
        power = power * _GENERATOR % prime
        if power == 1:
            return


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))
