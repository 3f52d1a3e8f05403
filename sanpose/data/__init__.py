"""Data: the readers of the data sets, the packed file, the crop, the mix of sources, and the synthetic people."""
