"""Amalthea's audit log: status changes of sessions. Facts: docs/sources/amalthea.md.

Code that reads files and lines of the log belongs here. The rules that make an event of a line belong in
events/cleaning.
"""
