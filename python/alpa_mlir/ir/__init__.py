"""The one door to jaxlib's MLIR, and our passes on its modules."""
