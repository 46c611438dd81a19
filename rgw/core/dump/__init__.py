"""radosgw's JSON of what it keeps, as radosgw-admin 16.2 prints it and the Admin Ops API answers it."""
