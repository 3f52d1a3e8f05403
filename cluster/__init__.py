"""Get machines: Slurm jobs, and the Ray cluster that a command runs on. Does not know poses or trials."""
