"""The central store: tables as Parquet files, and the ledger of all that is remembered beside them.

How rows and documents reach an object and come back belongs here. What they mean does not.
"""
