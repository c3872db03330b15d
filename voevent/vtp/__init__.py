"""VOEvent Transport Protocol 2.0: events from authors and other brokers, to subscribers, over plain or TLS sockets.

`framing`, `messages`, `session` and `filters` know the protocol and no sockets; `authors`, `subscribers` and `upstream`
are its three kinds of connection; `server` is the broker made of them.
"""
