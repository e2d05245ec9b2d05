"""Hands the cluster to the C++ cost model."""
