"""Training steps as the planner starts from them."""

from functools import cache

from alpa_mlir.frontend.signature import Signature
from alpa_mlir.frontend.trace import trace
from alpa_mlir.intra_op.shard import NormalizedModule, normalize
from oracles.training_equality import case


@cache
def normalized_step(name: str) -> NormalizedModule:
    """That of a case of `oracles.training_equality`."""
    workload = case(name)
    signature = Signature(workload.train_step)
    bound = signature.bind(tuple(workload.abstract_arguments()), {})
    return normalize(trace(signature, bound, batch_argnums=(1,)).text)
