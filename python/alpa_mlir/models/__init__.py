"""Models to plan and train: plain JAX, one file each, up to the ladder of Alpa's evaluation.

`mlp`, `gpt`, `moe` and `wide_resnet` each offer `Config`, `SIZES`, `init`, `loss_fn` and
`example_batch`; `training` makes a step of any of them; `workload` names them all.
"""
