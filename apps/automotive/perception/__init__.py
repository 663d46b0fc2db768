"""Perception: camera, lidar and radar become tracks of what is around."""
