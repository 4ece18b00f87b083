"""The main job on one command: a simulated line, an embedded broker, the agent and a receiving MES, compared."""
