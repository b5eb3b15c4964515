"""The systems that rows are pulled from: a folder for each, declared once in registry.py, and what they share.

Here belongs how a system is asked and how its answers are read. A source hands back Batches and knows nothing of the
store, of metrics or of Dagster.
"""
