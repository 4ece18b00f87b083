"""What may be asked of the running agent over its control socket, by subject."""
