"""Joint sets, cameras, and drawing of poses. Does not know networks or data files."""
