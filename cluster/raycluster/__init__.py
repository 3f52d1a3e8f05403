"""The Ray cluster that a command uses: a private one, the one at RAY_ADDRESS, or one inside a Slurm job.

Does not know what the command does with the cluster.
"""
