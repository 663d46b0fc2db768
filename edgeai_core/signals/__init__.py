"""Causal filters with state, windows, resampling, spectra: arrays in, arrays out."""
