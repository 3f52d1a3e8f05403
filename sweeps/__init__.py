"""Sweeps: definitions, studies, trials, and their records. Knows trials and run ids; not poses or machines."""
