"""`python -m vo_service` is `vo-service`."""

from vo_service.cli import main

main()
