"""The nouns of the OCI specifications, and the protocol's rules, without I/O.

Nothing in this room opens a file or a socket, reads a clock or starts a thread; bytes come in, verified values go out.
"""
