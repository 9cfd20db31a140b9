"""The engine: promotions that are decided once, carried out to their end whatever dies, and told of.

The tables of `liftlock.store` are the truth. Work that is due is found there by whoever works (`worker`); each piece
of it runs as a durable workflow, whose name makes it run once. `decisions` changes the truth, a transaction at a time,
and needs no worker.
"""
