"""What a harvester and its users would complain about: a running service is checked over HTTP alone."""
