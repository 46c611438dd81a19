"""Both gateways on one cluster."""
