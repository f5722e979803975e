"""The room in a browser: HTTP, WebSocket, and the page. Needs h11 and wsproto (extra `web`)."""
