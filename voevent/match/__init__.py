"""Coincidences: alerts matched with other alerts, and with the events of published tables, as they arrive."""
