"""RADOS as the gateway sees it: pools of objects with bytes, xattrs, an ordered omap and object classes."""
