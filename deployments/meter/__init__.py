"""The sync meter: how late a finished file's sound is against the lips in its pictures, from the file alone."""
