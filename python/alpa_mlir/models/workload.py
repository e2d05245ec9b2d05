"""A model by name, ready to plan or to train: its step, its state and its batches.

What benchmarks, tests and the command line share. Nothing is allocated until `init_state` or
`example_batch` is called; `abstract_arguments` is all that planning needs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax

from alpa_mlir.models import fine_moe, gpt, llama, mlp, moe, wide_resnet
from alpa_mlir.models.training import Optimizer, PyTree, TrainState, TrainStep, make_train_step
from alpa_mlir.models.training import init_state as init_train_state

MODELS: dict[str, Any] = {
    "fine_moe": fine_moe,
    "gpt": gpt,
    "llama": llama,
    "mlp": mlp,
    "moe": moe,
    "wide_resnet": wide_resnet,
}


@dataclass(frozen=True)
class Workload:
    """A training step with the means to make its arguments, `(state, batch)`."""

    name: str
    train_step: TrainStep
    init_state: Callable[[jax.Array], TrainState]
    example_batch: Callable[[jax.Array], PyTree]

    def abstract_arguments(self) -> tuple[TrainState, PyTree]:
        """State and batch as `jax.ShapeDtypeStruct`s."""
        key = jax.random.key(0)
        return jax.eval_shape(self.init_state, key), jax.eval_shape(self.example_batch, key)


def workload(
    model: str, size: str, batch_size: int, optimizer: Optimizer, **overrides: Any
) -> Workload:
    """The workload of `MODELS[model]` at `SIZES[size]`; `overrides` replace fields of its config.

    Raises `KeyError` naming the choices if there is no such model or size.
    """
    if model not in MODELS:
        raise KeyError(f"no model {model!r}; expected one of {sorted(MODELS)}")
    module = MODELS[model]
    if size not in module.SIZES:
        raise KeyError(f"{model} has no size {size!r}; expected one of {list(module.SIZES)}")
    config = replace(module.SIZES[size], **overrides)
    has_statistics = module is wide_resnet

    def loss_fn(params: PyTree, batch: PyTree, *statistics: PyTree) -> Any:
        return module.loss_fn(params, batch, config, *statistics)

    def init_state(key: jax.Array) -> TrainState:
        statistics = wide_resnet.init_statistics(config) if has_statistics else ()
        return init_train_state(module.init(key, config), optimizer, statistics)

    return Workload(
        name=f"{model}:{size}",
        train_step=make_train_step(loss_fn, optimizer, has_statistics),
        init_state=init_state,
        example_batch=partial(module.example_batch, config=config, batch_size=batch_size),
    )
