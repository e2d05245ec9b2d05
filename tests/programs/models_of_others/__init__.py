"""Training steps as users of plain JAX, flax.linen, flax.nnx and equinox write them, with optax.

Nothing here knows about alpa_mlir: these files are the promise that an unmodified step works. Each
offers `workload()`; the recipe of the optimizer is shared.
"""

import optax


def optimizer() -> optax.GradientTransformation:
    """AdamW with clipping by global norm and a schedule.

    Epsilon is far above rounding: Adam divides a gradient by its own size, so where the true
    gradient is zero (the bias of attention's keys) a tiny epsilon turns rounding into whole steps,
    and no two summation orders agree.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=1e-4, peak_value=1e-2, warmup_steps=2, decay_steps=20
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, eps=1e-4, weight_decay=1e-2)
    )
