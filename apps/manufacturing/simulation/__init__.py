"""Simulated parts and machines with their truth: they show that things work, not how well they work on a real line."""
