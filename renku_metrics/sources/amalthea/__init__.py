"""Amalthea's audit log: status changes of sessions. Facts: docs/sources/amalthea.md.

Code that reads files and lines of the log belongs here. The rule which line starts a session belongs in
events/cleaning.
"""
