"""From a request (`sanpose submit`) to a Slurm job with its code and its record."""
