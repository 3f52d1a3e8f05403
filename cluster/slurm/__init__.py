"""Slurm, without Ray: profiles, sbatch scripts, submission checks, job records, job states."""
