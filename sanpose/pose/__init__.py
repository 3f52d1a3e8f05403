"""Joints, cameras, and drawing of poses. No network and no data set."""
