"""What is an event and whose it is: cleaning, linking of users, the union, erasure.

Everything here is pure: frames in, frames out. How rows are pulled, or what is counted, does not belong here.
"""
