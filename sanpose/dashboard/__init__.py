"""The live page of sweeps and runs: a small web server on this machine's loopback address, and the page's files."""
