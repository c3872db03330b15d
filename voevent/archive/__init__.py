"""The archive of alerts: every packet that was accepted, for ever, as tables of the schema `alerts`."""
