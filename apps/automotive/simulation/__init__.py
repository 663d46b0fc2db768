"""The simulated road: a world with truth, and the sensors that look at it."""
