"""What runs an experiment: the loop, its devices, its checkpoints and its directory."""
