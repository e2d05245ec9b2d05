"""The public API is one file; adding to it or taking from it is a decision, made here."""

import alpa_mlir

PUBLIC = [
    "AlpaError",
    "Auto",
    "Cluster",
    "DataParallel",
    "Device",
    "EnergyFrontier",
    "EnergyProfile",
    "FixedPlan",
    "FollowPlacement",
    "Link",
    "PipelineParallel",
    "Plan",
    "PowerModel",
    "Saving",
    "ShardParallel",
    "ThreeDParallel",
    "Zero2Parallel",
    "Zero3Parallel",
    "create_state",
    "initialize",
    "parallelize",
    "restore",
    "save",
    "saved_numbers",
]


def test_public_names_are_frozen() -> None:
    modules = {"compat", "errors", "options", "passes", "plan", "stages"}
    names = [n for n, value in vars(alpa_mlir).items() if getattr(value, "__module__", None)]
    assert sorted(n for n in names if not n.startswith("_") and n not in modules) == PUBLIC


def test_public_names_are_documented() -> None:
    for name in PUBLIC:
        assert getattr(alpa_mlir, name).__doc__, name
