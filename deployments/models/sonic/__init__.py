"""The backend `sonic`: the published model, from a checkout and checkpoints that the user provides. Nothing of it is in here."""
