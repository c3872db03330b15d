"""The archive as pages, JSON and files: a list of packets, and one packet with its history."""
