"""A plan as data: every decision about a program on a cluster."""
