"""Kinds of gates and notifiers: how one is found by its name, and what a worker lends it."""
