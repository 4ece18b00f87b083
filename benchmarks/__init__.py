"""What the agent costs, beside what the machine and the libraries can do at all, measured in the same run."""
