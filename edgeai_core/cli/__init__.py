"""The edgeai command."""
