"""The application: pulling, building, relinking, publishing, checking and erasing, a step at a time.

Here belongs what joins sources, events and metrics to the store. Rules of meaning do not: they are pure and in events/
and metrics/. Nothing here imports dagster.
"""
