"""The other side of the wire: a bottling line, a broker, a receiving MES. Imports nothing of the agent."""
