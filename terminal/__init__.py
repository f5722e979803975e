"""The client's side of the room: dialling, the session, and the screens."""
