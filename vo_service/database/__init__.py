"""PostgreSQL: the embedded server, roles, pools, and results as a stream of Arrow record batches."""
