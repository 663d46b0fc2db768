"""The brake: measures what is ahead by itself, and takes authority away where it must."""
