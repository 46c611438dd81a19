"""The commands `rgw` and `rgw-admin`."""
