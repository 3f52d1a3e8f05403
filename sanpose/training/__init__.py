"""One training: the loop, DeepSpeed, checkpoints, and Ray Train. Does not know sweeps."""
