"""Runs kept in MCAP files: what arrived, when each cycle looked at it, and what was decided."""
