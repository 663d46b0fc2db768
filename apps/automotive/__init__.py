"""Automotive: perception, planning and braking, joined by topics."""
