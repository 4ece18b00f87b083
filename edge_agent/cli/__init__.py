"""`edge-agent`: one small file per group of verbs; no logic of its own."""
