"""Get machines: the Ray cluster that a command runs on. Knows nothing of poses or trials."""
