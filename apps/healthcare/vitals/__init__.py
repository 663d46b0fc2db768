"""The vitals loop: heart rate, oxygen, breathing, pressure, temperature and consciousness, from sensor to NEWS2."""
