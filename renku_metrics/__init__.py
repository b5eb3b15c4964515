"""Renku Metrics: who uses Renku and for what, in every deployment. README.md beside this file is the map."""
