"""The application: pulling, building, relinking, publishing, checking and erasing, a step at a time.

What connects sources, events and metrics to the store belongs here. Rules of meaning do not: they are in events/ and
metrics/, and pure. Nothing here imports dagster.
"""
