"""State of earlier versions, made by those versions: what an upgrade starts from."""
