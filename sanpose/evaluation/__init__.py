"""From a network to predictions, figures, and sample pictures."""
