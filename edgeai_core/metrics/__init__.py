"""Intervals, curves, calibration, splits and duplicates: how a figure is made honestly."""
