"""What is counted and what is published about it: the dictionary, counting, coverage, revisions, checks, documents.

Everything here is pure: frames in, frames or text out. Reading and writing the store does not belong here.
"""
