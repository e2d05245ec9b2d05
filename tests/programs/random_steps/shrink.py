"""Smaller variants of a random step, the boldest first."""

from collections.abc import Iterator
from dataclasses import replace

from programs.random_steps.plain import PLAIN_LAYER, PLAIN_LOSS, PLAIN_VIEW
from programs.random_steps.registry import CONSTRUCTS
from programs.random_steps.spec import Piece, RandomStep


def smaller_steps(step: RandomStep) -> Iterator[RandomStep]:
    """Each has less in it than `step`, so that taking one again and again comes to an end."""
    candidates = (*_fewer_pieces(step), *_plainer_pieces(step), *_smaller_sizes(step))
    return (each for each in candidates if each != step and _is_possible(each))


def _is_possible(step: RandomStep) -> bool:
    return all(CONSTRUCTS[piece.construct].is_possible(*step.sizes) for piece in step.pieces)


def _fewer_pieces(step: RandomStep) -> Iterator[RandomStep]:
    yield replace(step, results=(), update=())
    yield replace(step, view=PLAIN_VIEW)
    if step.low != "float32":
        yield replace(step, low="float32")
    for size in (4, 2, 1):
        if size <= len(step.model):
            for start in range(0, len(step.model) - size + 1):
                kept = step.model[:start] + step.model[start + size :]
                yield replace(step, model=kept)
    for i in range(len(step.results)):
        yield replace(step, results=step.results[:i] + step.results[i + 1 :])
    for i in range(len(step.update)):
        yield replace(step, update=step.update[:i] + step.update[i + 1 :])


def _plainer_pieces(step: RandomStep) -> Iterator[RandomStep]:
    yield replace(step, loss=PLAIN_LOSS)
    for i, piece in enumerate(step.model):
        others = step.model[:i], step.model[i + 1 :]
        if piece.construct != "dense":
            yield replace(step, model=(*others[0], PLAIN_LAYER, *others[1]))
        for j, (name, value) in enumerate(piece.options):
            first = CONSTRUCTS[piece.construct].choices[name][0]
            if value != first:
                options = (*piece.options[:j], (name, first), *piece.options[j + 1 :])
                plainer = Piece(piece.construct, options)
                yield replace(step, model=(*others[0], plainer, *others[1]))


def _smaller_sizes(step: RandomStep) -> Iterator[RandomStep]:
    batch, time, features = step.sizes
    if time:
        yield replace(step, sizes=(batch, 0, features))
    if batch > 8:
        yield replace(step, sizes=(8, time, features))
    if features > 6:
        yield replace(step, sizes=(batch, time, 6))
    if time > 2:
        yield replace(step, sizes=(batch, 2, features))
