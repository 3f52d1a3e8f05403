"""The state of sweeps and runs, read from the records and locks in a folder of runs, as tables or JSON."""
