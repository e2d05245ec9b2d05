"""Automatic parallelism for JAX: the whole public API."""
