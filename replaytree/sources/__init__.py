"""Where data are: their names, folders and files. It loads no torch, so that a wrong name is told at once."""
