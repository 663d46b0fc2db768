"""The contracts as checks that a vertical's own tests can call."""
