"""Plans held against XLA: compiled for their devices, which need not be there."""
