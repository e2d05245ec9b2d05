"""From an annotated StableHLO module to an XLA executable, and what XLA made of it."""
