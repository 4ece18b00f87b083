"""The tag map: YAML in, frozen references out, every error with its place."""
