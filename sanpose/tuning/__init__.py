"""Run sweeps: from a definition to trials in Ray Tune, and the records of their runs. Also plans and estimates."""
