"""What is an event and whose it is: cleaning, linking of users, the union, erasure.

Everything here is pure: frames in, frames out. How rows were pulled does not belong here, nor what is counted of them.
"""
