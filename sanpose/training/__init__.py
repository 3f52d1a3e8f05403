"""One training: the loop, DeepSpeed, checkpoints, and Ray Train around them."""
