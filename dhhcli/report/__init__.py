"""report: ranked shots -> what a person or the next program reads (table, TSV, JSON lines)."""
