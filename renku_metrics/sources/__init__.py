"""The systems that rows are pulled from: one folder each, declared once in registry.py, and what they share.

Code that asks a system and reads its answers belongs here. A source hands back Batches. It writes nothing to the store
and knows nothing of metrics or Dagster.
"""
