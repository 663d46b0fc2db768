"""A model file becomes a function with a known cost."""
