"""Alerts: VOEvent (1.1, 2.0, 2.1) in and out, archived and matched as they come."""
