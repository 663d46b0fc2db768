"""Alerts, loops, models and live topics over HTTP."""
