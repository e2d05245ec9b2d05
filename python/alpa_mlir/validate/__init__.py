"""What XLA made of a program, read from its HLO and its log."""
