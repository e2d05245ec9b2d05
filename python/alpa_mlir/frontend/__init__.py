"""From a Python function to a marked StableHLO module, and the one door to jaxlib's MLIR."""
