"""Imaging triage: films and slices that come when they come, of which none may be lost."""
