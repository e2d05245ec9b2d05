"""Random training steps as data: drawn from a seed, written as Python source, made smaller."""
