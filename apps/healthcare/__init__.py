"""Healthcare: ECG monitoring; the patient is the subject of every alert."""
