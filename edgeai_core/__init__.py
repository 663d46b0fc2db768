"""EdgeAI: programs that sense, decide and alert on a device, with a deadline."""
