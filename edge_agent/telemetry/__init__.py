"""What the agent tells people about itself: log lines, the state of its parts, counts."""
