"""What loops tell each other, in one process or between processes, and what they show to people."""
