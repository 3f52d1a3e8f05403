"""The choice of runs: which runs stand for a cell of Table 1 and for a point of a sweep. Draws no table."""
