"""How arrays go from one mesh to another."""
