"""Runs a pipelined step over submeshes: one process, nothing decided while it runs."""
