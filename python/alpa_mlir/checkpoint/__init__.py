"""State on disk, through orbax: numbered checkpoints in a folder, written while training goes on."""
