"""The service and the kernel that every protocol shares."""

__version__ = "0.1.0"
