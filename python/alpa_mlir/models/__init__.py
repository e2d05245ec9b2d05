"""Models to plan and train, plain JAX, one file each: the ladder of Alpa's evaluation, and shapes
of today, `llama` and `fine_moe`.

Each offers `Config`, `SIZES`, `init`, `loss_fn` and `example_batch`. What several have in common is
in `tokens` and `experts`; `training` makes a step of any of them; `workload` names them all.
"""
