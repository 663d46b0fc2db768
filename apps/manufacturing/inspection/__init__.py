"""Inspection: from a picture of a part to pass or reject."""
