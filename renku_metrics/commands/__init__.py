"""What the subcommands of ``renku-metrics`` do and print, a module each.

What a person types and reads in a shell belongs here. How numbers are pulled, built or erased belongs in pipeline/,
and what Dagster must be told in dagster/.
"""
