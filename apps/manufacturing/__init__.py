"""Manufacturing: parts inspected, the machine's health known; the line or the machine is an alert's subject."""
