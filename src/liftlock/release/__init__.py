"""Artifacts, pipelines, releases and promotions, and the rules that move them.

Nothing in this room does I/O, reads a clock or the environment: what it needs is passed in, what it decides comes back
as a value or as a `RefusedError` that says what would change the answer.
"""
