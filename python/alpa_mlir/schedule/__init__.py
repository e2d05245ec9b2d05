"""The order in which meshes work through a pipelined step, and the instructions made from it."""
