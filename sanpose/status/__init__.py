"""What becomes of sweeps and runs: read from the records and locks in a folder of runs, told as tables or JSON."""
