"""What the subcommands of ``renku-metrics`` do and print, a module each.

Here belongs what a person types and reads in a shell. How numbers are pulled, built or erased does not: that is in
pipeline/. Only demo.py may import dagster.
"""
