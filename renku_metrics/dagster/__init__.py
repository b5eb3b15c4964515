"""All that imports dagster, except definitions.py: assets, partitions, automation, schedules, Dagster's own storage.

What Dagster must be told belongs here. What an asset does to the store does not: each asset calls a function of
pipeline/, which a test can call without Dagster.
"""
