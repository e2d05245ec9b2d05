"""The plainest step, and what failing steps are made towards."""

from dataclasses import replace
from typing import Any

from programs.random_steps.source import CONSTRUCTS
from programs.random_steps.spec import Piece, RandomStep

PLAIN_VIEW = Piece("as_it_is")
PLAIN_LOSS = Piece("mean_of_squares")
PLAIN_LAYER = Piece("dense", (("activation", "jnp.tanh"), ("has_bias", False)))
PLAIN_STEP = RandomStep(
    seed=0,
    sizes=(8, 0, 6),
    mode="train",
    low="float32",
    view=PLAIN_VIEW,
    model=(PLAIN_LAYER,),
    loss=PLAIN_LOSS,
    results=(),
    update=(),
)


def plain_step_with(name: str, **chosen: Any) -> RandomStep:
    """The plain step with one more construct, whose other options are their first."""
    each = CONSTRUCTS[name]
    options = {option: values[0] for option, values in each.choices.items()} | chosen
    piece = Piece(name, tuple(options.items()))
    sizes = next(s for s in ((8, 0, 6), (8, 2, 6)) if each.is_possible(*s))
    step = replace(PLAIN_STEP, sizes=sizes)
    match each.place:
        case "view":
            return replace(step, view=piece)
        case "loss":
            return replace(step, loss=piece)
        case "model":
            return replace(step, model=(PLAIN_LAYER, piece, PLAIN_LAYER))
        case "result":
            return replace(step, results=(piece,))
        case "update":
            return replace(step, update=(piece,))
