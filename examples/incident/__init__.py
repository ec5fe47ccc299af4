"""An incident to practise on: made by the service, kept as files."""
