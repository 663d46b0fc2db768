"""What a machine's vibration, temperature, pressure and current say of its health, and how long it will last."""
