"""Renku Metrics: who uses Renku and for what, for every deployment. README.md beside this file is the map."""
