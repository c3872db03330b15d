"""What operators see of alerts: processes tell of themselves, and the service shows it as metrics and as a page."""
