"""Measures devices: ops of known size, run and timed, become curves of seconds by size."""
