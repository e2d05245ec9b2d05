"""Energy of a pipelined step (Perseus, SOSP'24): profiles, frontiers, plans of frequencies."""
