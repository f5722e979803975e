"""The server's side of the room: where the codec and the reactor meet."""
