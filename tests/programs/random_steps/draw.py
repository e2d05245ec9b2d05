"""Draws a random step from a seed."""

from typing import Any

import numpy as np

from programs.random_steps.registry import Construct, Place
from programs.random_steps.source import CONSTRUCTS
from programs.random_steps.spec import Piece, RandomStep

MEETING_SHARE = 0.15  # of the steps: in the others, nothing meets with parameters


def random_step(seed: int) -> RandomStep:
    """The same for the same seed."""
    rng = np.random.default_rng(seed)
    sizes = (
        int(rng.choice([4, 6, 8, 8, 8, 9, 12, 16])),
        int(rng.choice([0, 0, 2, 3, 4])),
        int(rng.choice([5, 6, 8, 8, 12, 16])),
    )
    may_meet = rng.random() < MEETING_SHARE

    def pieces(place: Place, number: int) -> tuple[Piece, ...]:
        return tuple(_piece(rng, place, sizes, may_meet) for _ in range(number))

    mode = rng.choice(["train", "gradients", "evaluate"], p=[0.8, 0.12, 0.08])
    return RandomStep(
        seed=seed,
        sizes=sizes,
        mode=mode.item(),
        low=rng.choice(["float32", "bfloat16", "float16"], p=[0.84, 0.1, 0.06]).item(),
        view=pieces("view", 1)[0],
        model=pieces("model", int(rng.choice([1, 2, 2, 3, 3, 4, 5, 7]))),
        loss=pieces("loss", 1)[0],
        results=_distinct(pieces("result", int(rng.integers(0, 4)))),
        update=_distinct(pieces("update", int(rng.integers(0, 4)))),
    )


def _distinct(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    return tuple(dict.fromkeys(pieces))


def _piece(
    rng: np.random.Generator, place: Place, sizes: tuple[int, int, int], may_meet: bool
) -> Piece:
    def is_suitable(each: Construct) -> bool:
        return each.place == place and each.is_possible(*sizes)

    suitable = [each for each in CONSTRUCTS.values() if is_suitable(each)]
    weights = np.array([each.weight for each in suitable])
    while True:
        each = suitable[int(rng.choice(len(suitable), p=weights / weights.sum()))]
        options: dict[str, Any] = {
            name: values[int(rng.integers(len(values)))] for name, values in each.choices.items()
        }
        if may_meet or each.meets(options) != "with parameters":
            return Piece(each.name, tuple(options.items()))
