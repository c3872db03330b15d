"""DALI 1.1: parameters, negotiation of formats, error documents, streamed answers."""
