"""Training with torch (extra train), and export with proof."""
