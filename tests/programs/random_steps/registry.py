"""All constructs of random steps: what may be chosen about each, and what is known of it.

`meets` says whether examples meet in a construct: "no", in what is computed from the "batch alone"
(and can be before the first microbatch), or "with parameters" (and then no split is exact).
A numeric oracle looks at it as well, see `oracles/random_steps/examples.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Meets = Literal["no", "batch alone", "with parameters"]
Place = Literal["view", "model", "loss", "result", "update"]
Write = Callable[..., None]


@dataclass(frozen=True)
class Construct:
    """
    Attributes:
      write: appends the construct's code to a `Writer`, given the options.
      choices: the values of each option.
      is_possible: for sizes (examples, time steps, features).
      is_rarely_visible: examples meet in a decision, which the numeric oracle may miss.
      weight: how often it is drawn.
    """

    name: str
    place: Place
    write: Write
    choices: dict[str, Sequence[Any]]
    meets: Callable[[dict[str, Any]], Meets]
    is_possible: Callable[[int, int, int], bool]
    is_rarely_visible: bool
    weight: float


CONSTRUCTS: dict[str, Construct] = {}


def construct(
    place: Place,
    meets: Meets | Callable[[dict[str, Any]], Meets] = "no",
    is_possible: Callable[[int, int, int], bool] = lambda batch, time, features: True,
    is_rarely_visible: bool = False,
    weight: float = 1.0,
    **choices: Sequence[Any],
) -> Callable[[Write], Write]:
    def add(write: Write) -> Write:
        name = write.__name__
        assert name not in CONSTRUCTS, f"two constructs are called {name}"
        constant: Callable[[dict[str, Any]], Meets] = lambda options: meets  # type: ignore[assignment,return-value]  # noqa: E731
        CONSTRUCTS[name] = Construct(
            name,
            place,
            write,
            choices,
            meets if callable(meets) else constant,
            is_possible,
            is_rarely_visible,
            weight,
        )
        return write

    return add


def has_time(batch: int, time: int, features: int) -> bool:
    return time > 0


def is_even(batch: int, time: int, features: int) -> bool:
    return batch % 2 == 0


def is_even_in_halves(batch: int, time: int, features: int) -> bool:
    return batch % 4 == 0
