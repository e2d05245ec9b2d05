"""What XLA makes of programs, read from its HLO and its log, and what it compiles for."""
