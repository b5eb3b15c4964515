"""The central store: tables as Parquet files, and the ledger of all that is remembered beside them.

Here belongs how rows and documents reach an object and come back. What they mean does not.
"""
