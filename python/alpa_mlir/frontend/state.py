"""Finds the state of a training step: the arguments that come back updated; or their gradients.

An argument is state when some subtree of the result has its pytree structure, shapes and dtypes,
and most of its leaves come back as elementwise functions of themselves, as `w - lr * g` is. The
second condition tells updated parameters from gradients, which look the same from outside.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Ops whose result has the shape of an operand without being a value at the same place of it.
_MIXING = frozenset(
    {
        "dot_general",
        "conv_general_dilated",
        "transpose",
        "rev",
        "sort",
        "gather",
        "reduce_window",
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "cumlogsumexp",
        "triangular_solve",
        "cholesky",
        "fft",
        "custom_linear_solve",
        "cond",
    }
)

# Part of itself that remains of a value which decays in a step; weight decay adds far less.
_LEAST_KEPT = 0.5

# Ops that keep an operand as it is, or with something added to it: positions of such operands, None
# for all.
_KEEPING: Mapping[str, tuple[int, ...] | None] = {
    "add": None,
    "add_any": None,
    "sub": (0,),
    "max": None,
    "min": None,
    "clamp": (1,),
    "convert_element_type": None,
    "copy": None,
    "copy_p": None,
    "optimization_barrier": None,
    "reduce_precision": None,
    "reshape": None,
    "select_n": None,
    "sharding_constraint": None,
}


def find_state(jaxpr: ClosedJaxpr, arguments: Mapping[int, Any], out_tree: Any) -> dict[int, int]:
    """Pairs flat arguments with flat results.

    Args:
      jaxpr: the step, its variables in flat order.
      arguments: for every candidate, the index of its first leaf and its `PyTreeDef`.
      out_tree: `PyTreeDef` of the result.

    Returns:
      flat argument index → flat result index, for every leaf of every state argument.
    """
    flow = _Flow(jaxpr.jaxpr, _elementwise)
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for start, tree in arguments.items():
        inputs = range(start, start + tree.num_leaves)
        for outputs in _places(tree, out_tree):
            if not inputs or not taken.isdisjoint(outputs):
                continue
            if flow.same_types(inputs, outputs) and flow.most_updated(inputs, outputs):
                pairs.update(zip(inputs, outputs, strict=True))
                taken.update(outputs)
                break
    return pairs


def find_gradients(
    jaxpr: ClosedJaxpr, arguments: Mapping[int, Any], out_tree: Any, taken: Iterable[int]
) -> dict[int, int]:
    """Pairs flat arguments with the flat results that look like their gradients.

    That is for steps that leave the update to another: a subtree of the result has structure,
    shapes and dtypes of an argument, and is no next value of it. A lone number is too little to
    tell by: losses are that, too.

    Args:
      arguments: as in `find_state`, those that are no state.
      taken: flat results that are something else.

    Returns:
      flat argument index → flat result index.
    """
    flow = _Flow(jaxpr.jaxpr, _elementwise)
    pairs: dict[int, int] = {}
    unavailable = set(taken)
    for start, tree in arguments.items():
        inputs = range(start, start + tree.num_leaves)
        if all(not jaxpr.in_avals[i].shape for i in inputs):
            continue
        for outputs in _places(tree, out_tree):
            if unavailable.isdisjoint(outputs) and flow.same_types(inputs, outputs):
                pairs.update(zip(inputs, outputs, strict=True))
                unavailable.update(outputs)
                break
    return pairs


def is_step(jaxpr: ClosedJaxpr, pairs: Mapping[int, int]) -> bool:
    """Whether some argument comes back with something added to it, as a step's parameters do.

    Gradients of a loss with weight decay are elementwise functions of the parameters too, but have
    a small part of them at most: who asks for those keeps the parameters.
    """
    flow = _Flow(jaxpr.jaxpr, _kept)
    return any(i in flow.origins(j) for i, j in pairs.items())


def pair_donated(jaxpr: ClosedJaxpr, donated: Iterable[int], pairs: dict[int, int]) -> None:
    """Adds the pairs XLA aliases for donation alone: a result of the same type, first come."""
    outs = jaxpr.jaxpr.outvars
    free = [i for i in range(len(outs)) if i not in set(pairs.values())]
    for i in donated:
        if i in pairs:
            continue
        kind = _kind(jaxpr.jaxpr.invars[i])
        match = next((j for j in free if _kind(outs[j]) == kind), None)
        if match is not None:
            pairs[i] = match
            free.remove(match)


def _places(tree: Any, out_tree: Any) -> Iterator[range]:
    """Leaf ranges of the subtrees of `out_tree` equal to `tree`, outermost first."""
    level = [(0, out_tree)]
    while level:
        below: list[tuple[int, Any]] = []
        for start, subtree in level:
            if subtree == tree:
                yield range(start, start + subtree.num_leaves)
            for child in subtree.children():
                below.append((start, child))
                start += child.num_leaves
        level = below


def _kind(var: Any) -> tuple[Any, Any]:
    return tuple(var.aval.shape), var.aval.dtype


class _Flow:
    """Which values of a jaxpr are functions of which, place by place.

    Args:
      behind: the operands of an op that its result may be such a function of.
    """

    def __init__(self, jaxpr: Jaxpr, behind: Callable[[Any], list[Any]]) -> None:
        self._jaxpr = jaxpr
        self._behind = behind
        self._producers = {var: eqn for eqn in jaxpr.eqns for var in eqn.outvars}
        self._places = {var: place for place, var in enumerate(jaxpr.invars)}

    def same_types(self, inputs: Iterable[int], outputs: Iterable[int]) -> bool:
        invars, outvars = self._jaxpr.invars, self._jaxpr.outvars
        pairs = zip(inputs, outputs, strict=True)
        return all(_kind(invars[i]) == _kind(outvars[j]) for i, j in pairs)

    def most_updated(self, inputs: range, outputs: range) -> bool:
        pairs = zip(inputs, outputs, strict=True)
        return 2 * sum(i in self.origins(j) for i, j in pairs) >= len(inputs)

    def origins(self, output: int) -> set[int]:
        """Inputs that `output` is a function of."""
        target: Any = self._jaxpr.outvars[output]
        shape = target.aval.shape
        reached: set[Any] = set()
        waiting: list[Any] = [target]
        while waiting:
            var = waiting.pop()
            if isinstance(var, Literal) or var in reached or var.aval.shape != shape:
                continue
            reached.add(var)
            if eqn := self._producers.get(var):
                waiting += self._operands_behind(eqn, var)
        return {self._places[var] for var in reached if var in self._places}

    def _operands_behind(self, eqn: Any, var: Any) -> list[Any]:
        inner = _inner_jaxpr(eqn.params)
        if inner is None or eqn.primitive.name in _MIXING:
            return self._behind(eqn)
        index = eqn.outvars.index(var)
        if inner.outvars[index].aval.shape != var.aval.shape:  # stacked by a scan
            return []
        # A while loop's condition has operands of its own.
        first = len(eqn.invars) - len(inner.invars)
        return [eqn.invars[first + i] for i in _Flow(inner, self._behind).origins(index)]


def _elementwise(eqn: Any) -> list[Any]:
    return [] if eqn.primitive.name in _MIXING else list(eqn.invars)


def _kept(eqn: Any) -> list[Any]:
    """Operands that remain in the result for the most part, with something added or not."""
    if eqn.primitive.name == "mul":
        left, right = eqn.invars
        pairs = ((left, right), (right, left))
        return [a for a, b in pairs if isinstance(b, Literal) and abs(b.val) >= _LEAST_KEPT]
    positions = _KEEPING.get(eqn.primitive.name, ())
    return list(eqn.invars) if positions is None else [eqn.invars[k] for k in positions]


def _inner_jaxpr(params: Mapping[str, Any]) -> Any | None:
    """What jit, checkpoint, custom derivatives and loops run inside."""
    for value in (params.get("body_jaxpr"), *params.values()):
        inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
        if isinstance(inner, Jaxpr):
            return inner
    return None
