"""Who may connect: networks by their addresses. Pure."""

from __future__ import annotations

import ipaddress

from vo_service.config import split_list


class Networks:
    """A list of addresses and networks, separated by commas. Raises ValueError for what is none."""

    def __init__(self, text: str) -> None:
        self._networks = [ipaddress.ip_network(part) for part in split_list(text)]

    def __contains__(self, address: str) -> bool:
        """Whether an address is in one of them; IPv4 addresses that a socket for both writes as IPv6 are IPv4."""
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)
