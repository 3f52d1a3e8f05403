"""The Ray cluster that a command uses: a private one, the one of RAY_ADDRESS, or one inside a Slurm job."""
