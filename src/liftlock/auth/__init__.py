"""Credentials: where they are kept, and how a registry is convinced by them."""
