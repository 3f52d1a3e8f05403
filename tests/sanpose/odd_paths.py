"""A folder's name with everything that shells, YAML, Hydra, Slurm and Ray treat in their own ways."""

ODD = "a b [c] 'd' \"e\", f=g #h & ü 漢 ${x} $HOME ~ {y};(z)"
