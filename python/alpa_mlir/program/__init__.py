"""What lies between planner, lowering and runtime: programs, places, routes."""
