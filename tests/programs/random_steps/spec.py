"""What a random training step consists of, as data.

A step is a list of pieces, each an instance of a construct of `registry.py`: one that makes rows of
the batch (`view`), those of the model, a loss, auxiliary results and features of the update. Data
can be drawn, compared, sent to another process and made smaller; `source.py` writes it as Python.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

Mode = Literal["train", "gradients", "evaluate"]


@dataclass(frozen=True)
class Piece:
    construct: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.construct}({', '.join(f'{name}={value}' for name, value in self.options)})"


@dataclass(frozen=True)
class RandomStep:
    """`sizes` are those of examples, time steps (0 for none) and features.

    `low` is the type that the model computes in; parameters and losses are float32.
    """

    seed: int
    sizes: tuple[int, int, int]
    mode: Mode
    low: str
    view: Piece
    model: tuple[Piece, ...]
    loss: Piece
    results: tuple[Piece, ...]
    update: tuple[Piece, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return (self.view, *self.model, self.loss, *self.results, *self.update)

    def __str__(self) -> str:
        batch, time, features = self.sizes
        pieces = " ".join(map(str, self.pieces))
        return f"{self.mode} {self.low} b{batch} t{time} f{features}: {pieces}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "RandomStep":
        data = json.loads(text)
        for name in ("view", "loss"):
            data[name] = _piece(data[name])
        for name in ("model", "results", "update"):
            data[name] = tuple(map(_piece, data[name]))
        return RandomStep(**data | {"sizes": tuple(data["sizes"])})


def _piece(data: dict[str, Any]) -> Piece:
    return Piece(data["construct"], tuple((name, value) for name, value in data["options"]))
