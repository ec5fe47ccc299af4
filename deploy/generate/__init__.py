"""Files below deploy/ that are made from the table of names, so that they cannot name a field that nobody writes."""
