"""The planner: where to drive for the next seconds, and the control that follows it."""
