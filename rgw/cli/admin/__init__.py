"""`rgw-admin`: radosgw-admin's commands, arguments and JSON, a module for each family."""
