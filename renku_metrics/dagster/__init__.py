"""All that imports dagster: assets, partitions, automation, schedules, and Dagster's own storage.

What Dagster must be told belongs here. What an asset does to the store does not: each asset calls a function of
pipeline/, which a test can call without Dagster.
"""
