"""Sensor fusion: many tracks and many measurements as arrays, in and out.

Mathematics only: no clock, file or thread. What a sensor is and what an object is like is the caller's to say.
"""
