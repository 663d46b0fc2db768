"""Where samples come from: mailbox, reader threads, replay."""
