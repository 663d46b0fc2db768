"""ECG: from the electrode to an alert."""
