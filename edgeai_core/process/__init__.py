"""One process per loop, and the supervisor that keeps them alive."""
