"""Tests of paired differences: once, or after every seed. Knows numbers only."""

FIRST_LOOK = 3  # pairs; with two, the t distribution has one degree of freedom, and no effect is large enough
MOST_LOOKS = 50  # pairs; the probabilities of longer tests would take seconds to compute
