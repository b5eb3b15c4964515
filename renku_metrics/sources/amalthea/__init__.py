"""Amalthea's audit log: status changes of sessions. Facts: docs/sources/amalthea.md.

Here belongs how files and lines of the log are read. Which line starts a session does not: events/cleaning.
"""
