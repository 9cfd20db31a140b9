"""What is remembered: a database of artifacts, releases and promotions, and the store of the artifacts themselves.

The database is the record of one *home* (`.liftlock/`, SQLite). Everything goes through `Store.begin`, one transaction
per change of state; times come from the clock that the store was opened with, and are UTC.
"""
