"""Makes a failing program smaller as long as it fails in the same way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from programs.random_steps.plain import PLAIN_LAYER, PLAIN_LOSS, PLAIN_VIEW
from programs.random_steps.shrink import smaller_steps
from programs.random_steps.source import write_source
from programs.random_steps.spec import RandomStep

from oracles.random_steps.methods import Asked, possible_microbatches, simpler_methods
from oracles.random_steps.verdicts import Verdict

MAX_TRIES = 150


@dataclass(frozen=True)
class Failure:
    step: RandomStep
    asked: Asked
    verdict: Verdict

    @property
    def culprits(self) -> frozenset[str]:
        """The constructs that are more than what every program has."""
        plain = {piece.construct for piece in (PLAIN_VIEW, PLAIN_LOSS, PLAIN_LAYER)}
        return frozenset(piece.construct for piece in self.step.pieces) - plain

    def __str__(self) -> str:
        header = (
            f"# seed {self.step.seed}, {self.asked}\n# {self.verdict.kind}: {self.verdict.message}"
        )
        return f"{header}\n{write_source(self.step).text}"


def minimised(
    failure: Failure,
    judge: Callable[[RandomStep, Asked], Verdict],
    max_tries: int = MAX_TRIES,
) -> Failure:
    """The smallest that is found: same kind, same first words of the message."""
    num_tries, is_smaller = 0, True
    while is_smaller and num_tries < max_tries:
        is_smaller = False
        for step, asked in _smaller(failure):
            num_tries += 1
            verdict = judge(step, asked)
            if _is_same(verdict, failure.verdict):
                failure, is_smaller = Failure(step, asked, verdict), True
                break
            if num_tries >= max_tries:
                break
    return failure


def _smaller(failure: Failure) -> Iterator[tuple[RandomStep, Asked]]:
    for step in smaller_steps(failure.step):
        possible = possible_microbatches(step)
        if not failure.asked.is_pipeline or failure.asked.num_microbatches in possible:
            yield step, failure.asked
    for asked in simpler_methods(failure.asked, failure.step):
        yield failure.step, asked


def _is_same(verdict: Verdict, other: Verdict) -> bool:
    if verdict.kind != other.kind:
        return False
    # Which leaf is wrong, or where it hung, may change while the program gets smaller.
    return verdict.kind in ("wrong", "crash", "hang") or verdict.signature == other.signature
