"""HTTP/1.1 to registries, over plain sockets: `Transport` sends a `Request` and returns a `Response`.

Our own, since the two things that matter here are start-up and bytes: ``http.client`` costs 13 to 20 ms of imports
(``email``, ``ssl``) in a command that takes 80 in all, and copies every body through one more buffer. Here a blob's
bytes go from the socket into the caller's buffer and from there to the next socket; where nobody has to see them, they
do not even leave the kernel (`carriers`). Nothing heavy is imported before it is needed: ``ssl`` not before TLS is
spoken. For the same reason sockets come from ``_socket``, the module that `socket` builds upon: the enums that `socket`
makes of all its constants are a tenth of a small copy.

Small parts, stacked by `client`: `connection` (a socket), `http1` (the wire), `carriers`, `dial` and `tls` (opening),
`pool`, `limits`, `retry`, `redirects`, `addresses` (names, and the guard against forged requests), `proxies`,
`failures` (errors in words), `memory` (what was learnt of hosts), `traffic`.

It is synchronous, for threads; `Transport.abort` wakes them all. It knows HTTP but no registries: statuses are answers,
and credentials are what a caller puts into the headers.
"""
