"""edit: ranked shots -> files that open where editors work, one module a format."""
