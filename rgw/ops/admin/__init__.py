"""The operations of RGW's Admin Ops API, a module for each resource. What they return is rendered as JSON."""
