"""The live page of sweeps and runs: a small web server on this machine's loopback, and the page's own files."""
