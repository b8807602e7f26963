"""Named random streams."""

import hashlib

import numpy as np

from trademl.rng import stream


def test_the_same_name_gives_the_same_numbers() -> None:
    """Seed and names alone decide the stream."""
    assert (stream(7, "prices").random(100) == stream(7, "prices").random(100)).all()


def test_other_seeds_and_names_give_other_numbers() -> None:
    """Seed, name, and where one name ends and the next begins all matter."""
    keys = [(7, "a"), (8, "a"), (7, "b"), (7, "a", "b"), (7, "ab"), (7,)]
    assert len({stream(seed, *names).random() for seed, *names in keys}) == len(keys)


def test_a_consumer_does_not_shift_another() -> None:
    """Drawing from one stream leaves the other where it was."""
    alone = stream(7, "volumes").random(10)
    stream(7, "prices").random(1000)
    assert (stream(7, "volumes").random(10) == alone).all()


def test_the_seed_is_the_start_of_a_digest() -> None:
    """The generator is PCG64, seeded with the first 128 bits, little-endian, of the SHA-256 of "7/prices"."""
    digest = hashlib.sha256(b"7/prices").hexdigest()
    seed = int("".join(reversed([digest[at : at + 2] for at in range(0, 32, 2)])), 16)
    assert (stream(7, "prices").random(5) == np.random.Generator(np.random.PCG64(seed)).random(5)).all()


def test_streams_are_not_correlated() -> None:
    """The correlation of 10,000 draws of two streams lies within four standard errors of 1/sqrt(10,000) of 0."""
    draws = [stream(7, name).standard_normal(10_000) for name in ("a", "b")]
    assert abs(np.corrcoef(*draws)[0, 1]) < 0.04
