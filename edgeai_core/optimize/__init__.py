"""Models made smaller, faster, and fit for a device: measured, never assumed."""
