"""Perception: camera, lidar and radar in, tracks of what is around out."""
