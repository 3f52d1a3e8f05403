"""From a request (`sanpose submit`) to a Slurm job with its code and its record.

Does not know what happens in the job: `cluster` starts it, `sanpose.train` and `sanpose.tune` run in it.
"""
