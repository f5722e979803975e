"""`python -m chatroom`."""

from chatroom import main

main()
