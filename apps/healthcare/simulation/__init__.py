"""Made signals with their truth: what runs without a patient, and what tests know the answer to."""
