"""Manufacturing: every part inspected, the machine's health known; the line or the machine is the subject of an alert."""
