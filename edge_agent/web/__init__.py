"""What the agent serves over HTTP, on the local machine only: metrics and probes."""
