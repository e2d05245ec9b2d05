"""State on disk, through orbax: numbered checkpoints, written while training goes on."""
